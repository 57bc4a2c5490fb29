"""Whatever becomes of workers or of their driver: a study ends, and no process outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from harness.config.loader import load
from harness.config.schema import StudyConfig, parse_duration
from harness.data.prepare import PreparedDataset
from harness.executors.base import Setup
from harness.executors.processes import ProcessExecutor
from harness.search.open_study import open_search
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.progress import Progress
from harness.system.signals import StopFlag
from tests.faults.process_table import descendants, is_gone, stop, wait_gone
from tests.sweep.test_driver import Watched, check_agreement, driver, opened, read

pytestmark = pytest.mark.slow

POISON = 13
STUDY = f"""
[study]
name = "tiny"
sampler = "list"
[data]
name = "digits"
[train]
epochs = 5
[[trial]]
name = "small"
hidden = [8]
[[trial]]
name = "poison"
hidden = [{POISON}]
epochs = 1000000
[[trial]]
name = "middling"
hidden = [16]
[[trial]]
name = "large"
hidden = [24]
"""
HOW = {signal.SIGKILL: "died (signal 9)", signal.SIGSTOP: "hung: no epoch for "}


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return load(path, ["study.hung_after=1s"])


class Poisoned(Watched):
    """Hits every worker that a trial of a certain width is given to."""

    def __init__(self, executor: ProcessExecutor, number: signal.Signals) -> None:
        super().__init__()
        self._executor, self._number, self._hit = executor, number, set[int]()

    def refresh(self, progress: Progress) -> None:
        for worker in self._executor._workers:
            pid = worker.process.pid
            assert pid is not None
            poisoned = any(trial.spec.hidden == (POISON,) for trial in worker.trials.values())
            if poisoned and pid not in self._hit:
                self._hit.add(pid)
                os.kill(pid, self._number)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("number", HOW, ids=lambda number: number.name)
def test_a_trial_that_ends_its_worker_every_time_fails_and_the_others_do_not(
    config: StudyConfig, digits: PreparedDataset, tmp_path: Path, number: signal.Signals, slots: int
) -> None:
    setups = [Setup("val/accuracy", "cpu", slots)] * 2
    with open_search(config, tmp_path) as search:
        tracker = opened(config, search)
        with ProcessExecutor(
            digits.training, setups, parse_duration(config.study.hung_after)
        ) as executor:
            watcher = Poisoned(executor, number)
            assert driver(search, executor, tracker, watcher, target=4).run(StopFlag()) == "done"
        check_agreement(search, tracker)
        assert (search.counts.complete, search.counts.failed) == (3, 1)
    runs = read(tracker).trials
    poisoned = [run for run in runs if run.spec.hidden == (POISON,)]
    assert [run.state for run in poisoned] == ["INTERRUPTED", "INTERRUPTED", "FAILED"]
    assert all(HOW[number] in run.reason for run in poisoned)
    assert len(watcher._hit) == 3
    others = Counter(run.spec.hidden for run in runs if run.state == "COMPLETE")
    assert others == {(8,): 1, (16,): 1, (24,): 1}
    lost = [run for run in runs if run.state == "INTERRUPTED" and run not in poisoned]
    assert len(lost) <= slots - 1, "beside it once; after that it is alone"


def test_a_study_says_when_a_worker_is_hung(tmp_path: Path, digits: PreparedDataset) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    planned = make_plan(
        path, RunOptions(device="cpu", workers=2, overrides=["study.hung_after=2m"])
    )
    executor = planned.create_executor(digits, trials=4)
    assert isinstance(executor, ProcessExecutor)
    assert executor._watchdog.limit(1.0) == 10 * 120, "ten times that before the first epoch"
    assert "hung_after" not in planned.config.definition()["study"], "no part of what it is"


DRIVER = """
import json, sys
from harness.data.prepare import prepare
from harness.executors.base import Epoch, Setup
from harness.executors.processes import ProcessExecutor
from harness.trial import (Trial, TrialSpec)

spec = TrialSpec(epochs=10**6, **json.loads(sys.argv[1]))
data = prepare("digits", validation=0.2, test=0.2, split_seed=0, normalize=True)
setups = [Setup("val/accuracy", "cpu")] * 2
with ProcessExecutor(data.training, setups, hung_after=1) as executor:
    executor.submit([Trial(number=number, uid=f"u/{number}", spec=spec) for number in range(2)])
    while True:
        for event in executor.wait(0.25):
            print(type(event).__name__, event.uid, flush=True)
            if isinstance(event, Epoch):
                executor.answer(event.uid, True)
        print("waited", [worker.process.pid for worker in executor._workers], flush=True)
"""


@contextmanager
def running(**spec: Any) -> Iterator[subprocess.Popen[str]]:
    """A driver with two workers, each in an endless trial."""
    command = [sys.executable, "-c", DRIVER, json.dumps(spec)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """By what the driver says next."""
    assert process.stdout is not None
    for line in process.stdout:
        kind, _, rest = line.partition(" ")
        if kind == "waited":
            return [int(pid) for pid in json.loads(rest)]
    raise AssertionError("the driver ended")


def says(process: subprocess.Popen[str], count: int) -> list[str]:
    """The kinds of its next events."""
    assert process.stdout is not None
    kinds: list[str] = []
    while len(kinds) < count and "Lost" not in kinds:
        kind = process.stdout.readline().split(" ")[0]
        assert kind, "the driver ended"
        kinds += [kind] if kind != "waited" else []
    return kinds


def test_no_process_outlives_a_killed_driver() -> None:
    """One worker in an epoch of many minutes, one stopped."""
    with running(hidden=[2048, 2048], batch_size=1) as process:
        workers = workers_of(process)
        time.sleep(1)
        family = descendants(process.pid)
        assert set(workers) < family
        assert len(family) == 4, "two workers, their fork server, the resource tracker"
        stop(workers[0])
        process.kill()
        wait_gone(family)


ENDS_AT_ONCE = """
import sys
from harness.executors.worker_process import Starter
Starter(None)
print("started", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("begun", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("killed", [True, False])
def test_the_fork_server_does_not_import_torch_for_nobody(killed: bool, begun: float) -> None:
    """As where a study is refused as soon as its store is opened."""
    command = [sys.executable, "-c", ENDS_AT_ONCE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        servers = descendants(process.pid)
        time.sleep(begun)
        assert len(servers) == 2, "the fork server and the resource tracker"
        assert not any(is_gone(pid) for pid in servers)
        if killed:
            process.kill()
        else:
            assert process.stdin is not None
            process.stdin.close()
        process.wait()
        wait_gone(servers, 1)


def test_a_driver_that_was_stopped_finds_its_workers_well() -> None:
    """As a suspended machine stops them all: the workers in their epochs, the driver waiting."""
    with running(hidden=[16]) as process:
        says(process, 20)
        workers = workers_of(process)
        for pid in [*workers, process.pid]:
            stop(pid)
        time.sleep(4)
        for pid in [process.pid, *workers]:
            with suppress(ProcessLookupError):  # what it says next tells
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.1)
        assert set(says(process, 50)) == {"Epoch"}
        assert workers_of(process) == workers
        assert not any(is_gone(pid) for pid in workers)
