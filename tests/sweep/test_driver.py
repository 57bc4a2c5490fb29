"""The driver on real training and a real journal, with the tracker's fake as its record."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import pytest

from harness.config.loader import load
from harness.config.schema import StudyConfig
from harness.data.prepare import PreparedDataset
from harness.errors import HarnessError
from harness.executors.base import Event, Executor, Setup
from harness.executors.inline import InlineExecutor
from harness.executors.processes import ProcessExecutor
from harness.results import Outcome
from harness.search.fixed_trials import ConfirmationRun, ConfirmationSearch
from harness.search.open_study import open_search
from harness.search.study import Search
from harness.sweep.driver import Driver
from harness.sweep.progress import Progress
from harness.system.signals import StopFlag, graceful_shutdown
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import State, StudyRecord, StudyRun
from harness.trial import Trial, TrialSpec

CPU = Setup("val/accuracy", "cpu")
STUDY = """
[study]
trials = 12
pruner = "median"
[data]
name = "digits"
[train]
epochs = 5
[space]
depth = [1]
width = { low = 8, high = 32 }
learning_rate = { low = 1e-4, high = 1e-1, log = true }
"""


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return load(path)


class Watched:
    """Calls back after each trial that ended."""

    def __init__(self, then: Callable[[Progress], None] = lambda _: None) -> None:
        self.states: list[State] = []
        self._then = then

    def stage(self, text: str) -> None: ...

    def message(self, text: str) -> None: ...

    def refresh(self, progress: Progress) -> None: ...

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        self.states.append(state)
        self._then(progress)


def opened(config: StudyConfig, search: Search) -> InMemoryTracker:
    tracker = InMemoryTracker()
    tracker.open_study(
        StudyRecord(
            name=config.study.name,
            uid=search.uid,
            text=config.text,
            definition=config.definition(),
            facts={},
            dataset="digits",
            dataset_digest="",
            dataset_source="",
            sizes={},
            classes=tuple("0123456789"),
        )
    )
    return tracker


def driver(
    search: Search, executor: Executor, tracker: InMemoryTracker, watcher: Watched, **more: float
) -> Driver:
    target = int(more.pop("target", search.config.study.trials))
    return Driver(
        search,
        executor,
        tracker,
        watcher,
        target=target,
        objective="val/accuracy",
        timeout=more.get("timeout"),
    )


def read(tracker: InMemoryTracker) -> StudyRun:
    study = tracker.read_study("tiny")
    assert study is not None
    return study


def check_agreement(search: Search, tracker: InMemoryTracker) -> None:
    """Optuna's record and the tracker's say the same, and nothing is left running."""
    states = [run.state for run in read(tracker).trials]
    assert "RUNNING" not in states
    assert states.count("COMPLETE") == search.counts.complete
    assert states.count("PRUNED") == search.counts.pruned
    assert states.count("FAILED") == search.counts.failed
    best = [run.number for run in read(tracker).rank_trials()]
    assert best == [number for _, number in search.ranking]


def test_a_sweep_ends_with_both_records_agreeing(
    config: StudyConfig, digits: PreparedDataset, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        tracker, watcher = opened(config, search), Watched()
        with InlineExecutor(digits.training, CPU) as executor:
            assert driver(search, executor, tracker, watcher).run(StopFlag()) == "done"
        assert search.counts.done == 12
        check_agreement(search, tracker)
    runs = read(tracker).trials
    assert [run.number for run in runs] == list(range(12))
    for run in runs:
        assert [epoch.epoch for epoch in run.epochs] == list(range(1, len(run.epochs) + 1))
        assert len(run.epochs) == 5 or run.state == "PRUNED"
        assert run.best is not None
        assert run.best.val_accuracy == max(epoch.val_accuracy for epoch in run.epochs)
    assert any(run.state == "PRUNED" for run in runs), "seeded so that some are"
    kept = {run.uid for run in read(tracker).rank_trials()[:5]}
    assert set(tracker.saved_weights) == kept, "the weights of the best five, and of no other"


def test_the_same_study_repeats_the_same_trials(
    config: StudyConfig, digits: PreparedDataset, tmp_path: Path
) -> None:
    outcomes = []
    for folder in ("one", "two"):
        with open_search(config, tmp_path / folder) as search:
            tracker = opened(config, search)
            with ProcessExecutor(digits.training, [CPU]) as executor:
                driver(search, executor, tracker, Watched()).run(StopFlag())
            outcomes.append(
                [(run.spec, run.best and run.best.val_loss) for run in read(tracker).trials]
            )
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("parts", [(13, 16, 20), (11, 20)])
def test_a_study_in_parts_has_the_trials_of_a_study_in_one_piece(
    config: StudyConfig, digits: PreparedDataset, tmp_path: Path, parts: tuple[int, ...]
) -> None:
    """TPE learns from the 11th trial on, and each of its choices uses all earlier results."""
    specs = []
    for folder, targets in (("parts", parts), ("whole", (20,))):
        for target in targets:
            with (
                open_search(config, tmp_path / folder) as search,
                InlineExecutor(digits.training, CPU) as executor,
            ):
                tracker = opened(config, search)
                driver(search, executor, tracker, Watched(), target=target).run(StopFlag())
                trials = [search.get_trial(number).spec for number in range(target)]
        specs.append(trials)
    assert specs[0] == specs[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_the_study_resumes(
    config: StudyConfig, digits: PreparedDataset, tmp_path: Path, number: signal.Signals
) -> None:
    sent = []

    def stop(progress: Progress) -> None:
        if progress.ended_trials == 4 and not sent:  # once: a second signal means at once
            sent.append(number)
            os.kill(os.getpid(), number)

    with open_search(config, tmp_path) as search:
        tracker, watcher = opened(config, search), Watched(stop)
        with (
            graceful_shutdown() as signalled,
            ProcessExecutor(digits.training, [CPU, CPU]) as executor,
        ):
            assert driver(search, executor, tracker, watcher).run(signalled) == "interrupted"
        check_agreement(search, tracker)
        interrupted = [run for run in read(tracker).trials if run.state == "INTERRUPTED"]
        assert interrupted
        assert all(run.reason.startswith("interrupted by") for run in interrupted)
    with open_search(config, tmp_path) as search:
        assert not search.stale
        assert 4 <= search.counts.done < 12
        with ProcessExecutor(digits.training, [CPU, CPU]) as executor:
            assert driver(search, executor, tracker, Watched()).run(StopFlag()) == "done"
        assert search.counts.done == 12
    specs = {run.number: run.spec for run in read(tracker).trials}
    retried = [specs[run.number] for run in read(tracker).trials if run.state != "INTERRUPTED"]
    assert all(run.spec in retried for run in interrupted), "interrupted trials are retried"


def test_the_trial_of_a_killed_worker_is_retried(
    config: StudyConfig, digits: PreparedDataset, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        tracker = opened(config, search)
        with ProcessExecutor(digits.training, [CPU, CPU]) as executor:
            killed = []

            def kill(progress: Progress) -> None:
                if progress.ended_trials == 2 and not killed:
                    killed.append(0)
                    pid = executor._workers[0].process.pid
                    assert pid is not None
                    os.kill(pid, signal.SIGKILL)

            driver(search, executor, tracker, Watched(kill)).run(StopFlag())
        assert search.counts.done == 12
        check_agreement(search, tracker)
    lost = [run for run in read(tracker).trials if run.state == "INTERRUPTED"]
    assert len(lost) <= 1
    assert all("died (signal 9)" in run.reason for run in lost)


class Greedy:
    """An executor with many slots that never answers: what is asked before anything came back."""

    def __init__(self, slots: int) -> None:
        self.slots, self.submitted = slots, 0

    def submit(self, trials: Sequence[Trial]) -> None:
        self.submitted += len(trials)

    def wait(self, timeout: float) -> list[Event]:
        raise HarnessError("enough")

    def answer(self, uid: str, keep: bool) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    ("sampler", "slots", "trials", "submitted"),
    [
        ("tpe", 2, 100, 3),
        ("tpe", 64, 100, 25),
        ("tpe", 8, 20, 9),  # the first ten draws are random, and need not wait
        ("tpe", 64, 20, 10),
        ("random", 2, 100, 3),
        ("random", 8, 20, 20),
    ],
)
def test_at_most_a_quarter_is_in_flight_where_the_sampler_learns(
    config: StudyConfig, tmp_path: Path, sampler: str, slots: int, trials: int, submitted: int
) -> None:
    options = [f"study.sampler={sampler}", f"study.trials={trials}"]
    with open_search(load(config.source, options), tmp_path) as search:
        tracker, executor = opened(config, search), Greedy(slots)
        with pytest.raises(HarnessError, match="enough"):
            driver(search, executor, tracker, Watched()).run(StopFlag())
    assert executor.submitted == submitted


def test_with_a_timeout_trials_are_asked_for_one_by_one(
    config: StudyConfig, tmp_path: Path
) -> None:
    options = ["study.sampler=random", "study.trials=20"]
    with open_search(load(config.source, options), tmp_path) as search:
        tracker, executor = opened(config, search), Greedy(8)
        with pytest.raises(HarnessError, match="enough"):
            driver(search, executor, tracker, Watched(), timeout=60.0).run(StopFlag())
    assert executor.submitted == 9


def test_no_trial_starts_after_the_timeout(
    config: StudyConfig, digits: PreparedDataset, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        tracker = opened(config, search)
        with InlineExecutor(digits.training, CPU) as executor:
            sweep = driver(search, executor, tracker, Watched(), target=10_000, timeout=1.0)
            assert sweep.run(StopFlag()) == "timeout"
        assert 0 < search.counts.done < 10_000
        check_agreement(search, tracker)


def test_a_study_whose_trials_all_fail_stops_with_a_message(
    config: StudyConfig, digits: PreparedDataset, tmp_path: Path
) -> None:
    wild = load(config.source, ["train.learning_rate=1e30", "train.optimizer=sgd"])
    with open_search(wild, tmp_path) as search:
        tracker, watcher = opened(wild, search), Watched()
        with (
            InlineExecutor(digits.training, CPU) as executor,
            pytest.raises(HarnessError, match=r"10 of 10 trials failed; .* lower learning_rate"),
        ):
            driver(search, executor, tracker, watcher).run(StopFlag())
        check_agreement(search, tracker)
    reasons = {run.reason for run in read(tracker).trials if run.state == "FAILED"}
    assert all("diverged" in reason for reason in reasons)


def test_runs_in_a_thread_too(config: StudyConfig, digits: PreparedDataset, tmp_path: Path) -> None:
    endings = []
    with open_search(config, tmp_path) as search:
        tracker = opened(config, search)
        with InlineExecutor(digits.training, CPU) as executor:
            sweep = driver(search, executor, tracker, Watched(), target=2)
            thread = threading.Thread(target=lambda: endings.append(sweep.run(StopFlag())))
            started = time.monotonic()
            thread.start()
            thread.join(60)
    assert endings == ["done"]
    assert time.monotonic() - started < 60


def test_no_single_seed_of_a_confirmation_is_the_best(
    config: StudyConfig, digits: PreparedDataset, tmp_path: Path
) -> None:
    """The mean over its seeds decides, so a display names no best one."""
    with open_search(config, tmp_path) as search:
        tracker = opened(config, search)
    runs = [ConfirmationRun(3, TrialSpec(hidden=(8,), epochs=1, seed=seed), 0) for seed in (1, 2)]
    source, bests = ConfirmationSearch(search.uid, runs, "val/accuracy"), list[object]()
    watched = Watched(lambda progress: bests.append(progress.best))
    with InlineExecutor(digits.training, CPU) as executor:
        Driver(
            source, executor, tracker, watched, target=2, objective="val/accuracy", noun="run"
        ).run(StopFlag())
    assert (watched.states, bests) == (["COMPLETE"] * 2, [None] * 2)
