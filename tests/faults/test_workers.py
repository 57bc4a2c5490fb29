"""Workers that die or hang, and dead drivers: every study ends, and no process outlives it."""

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
from harness.config.schema import StudyConfig
from harness.config.study_tables import parse_duration
from harness.data.prepare import PreparedDataset
from harness.executors.base import Setup
from harness.executors.processes import ProcessExecutor
from harness.search.open_study import open_search
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.progress import Progress
from harness.system.signals import StopFlag
from tests.faults.process_table import find_descendants, is_gone, stop, wait_gone
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
name = "medium"
hidden = [16]
[[trial]]
name = "large"
hidden = [24]
"""
REASONS = {signal.SIGKILL: "died (signal 9)", signal.SIGSTOP: "hung: no epoch for "}


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return load(path, ["study.hung_after=1s"])


class Poisoned(Watched):
    """Sends a signal to every worker that gets the poisonous trial."""

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
@pytest.mark.parametrize("number", REASONS, ids=lambda number: number.name)
def test_a_trial_that_always_ends_its_worker_fails_and_the_others_do_not(
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
    assert all(REASONS[number] in run.reason for run in poisoned)
    assert len(watcher._hit) == 3
    others = Counter(run.spec.hidden for run in runs if run.state == "COMPLETE")
    assert others == {(8,): 1, (16,): 1, (24,): 1}
    lost = [run for run in runs if run.state == "INTERRUPTED" and run not in poisoned]
    assert len(lost) <= slots - 1, "once together with it; after that it trains alone"


def test_a_study_file_sets_when_a_worker_counts_as_hung(
    tmp_path: Path, digits: PreparedDataset
) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    planned = make_plan(
        path, RunOptions(device="cpu", workers=2, overrides=["study.hung_after=2m"])
    )
    executor = planned.create_executor(digits, trials=4)
    assert isinstance(executor, ProcessExecutor)
    assert executor._detector.get_limit(1.0) == 10 * 120, "ten times that before the first epoch"
    assert "hung_after" not in planned.config.definition()["study"], "it may change later"


DRIVER = """
import json, sys
from harness.data.prepare import prepare
from harness.executors.base import EpochEnded, Setup
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
            if isinstance(event, EpochEnded):
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


def read_workers(process: subprocess.Popen[str]) -> list[int]:
    """The process ids in the driver's next line about them."""
    assert process.stdout is not None
    for line in process.stdout:
        kind, _, rest = line.partition(" ")
        if kind == "waited":
            return [int(pid) for pid in json.loads(rest)]
    raise AssertionError("the driver ended")


def read_events(process: subprocess.Popen[str], count: int) -> list[str]:
    """The kinds of the driver's next events."""
    assert process.stdout is not None
    kinds: list[str] = []
    while len(kinds) < count and "TrialLost" not in kinds:
        kind = process.stdout.readline().split(" ")[0]
        assert kind, "the driver ended"
        kinds += [kind] if kind != "waited" else []
    return kinds


def test_no_process_outlives_a_killed_driver() -> None:
    """One worker is in an epoch of many minutes, the other one is stopped."""
    with running(hidden=[2048, 2048], batch_size=1) as process:
        workers = read_workers(process)
        time.sleep(1)
        family = find_descendants(process.pid)
        assert set(workers) < family
        assert len(family) == 4, "two workers, their fork server, the resource tracker"
        stop(workers[0])
        process.kill()
        wait_gone(family)


ENDS_AT_ONCE = """
import sys
from harness.executors.worker_process import WorkerStarter
WorkerStarter(None)
print("started", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("killed", [True, False])
def test_the_fork_server_ends_with_its_driver_while_it_imports_torch(
    killed: bool, seconds: float
) -> None:
    """As when a study is rejected right after it started."""
    command = [sys.executable, "-c", ENDS_AT_ONCE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        servers = find_descendants(process.pid)
        time.sleep(seconds)
        assert len(servers) == 2, "the fork server and the resource tracker"
        assert not any(is_gone(pid) for pid in servers)
        if killed:
            process.kill()
        else:
            assert process.stdin is not None
            process.stdin.close()
        process.wait()
        wait_gone(servers, 1)


def test_a_driver_that_was_stopped_does_not_replace_its_workers() -> None:
    """As when a machine is suspended: the workers in their epochs, the driver waiting."""
    with running(hidden=[16]) as process:
        read_events(process, 20)
        workers = read_workers(process)
        for pid in [*workers, process.pid]:
            stop(pid)
        time.sleep(4)
        for pid in [process.pid, *workers]:
            with suppress(ProcessLookupError):  # its next events show it
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.1)
        assert set(read_events(process, 50)) == {"EpochEnded"}
        assert read_workers(process) == workers
        assert not any(is_gone(pid) for pid in workers)
