"""The driver: ask -> submit -> report, prune -> track -> tell.

Every change of state happens here, in one process: Optuna's record, MLflow's record, what runs.
However a trial ends, that is written to the record, which stands on disk at once, before Optuna is
told: a driver that dies in between leaves the trial RUNNING, and the next one tells what the record
says. Never an ended trial without its record, never a trial that is trained again for nothing.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

from harness.errors import HarnessError
from harness.executors.base import Ended, Epoch, Event, Executor
from harness.results import EpochMetrics, Objective, Outcome, TrialFailure, TrialResult
from harness.search.study import Counts
from harness.system.failpoints import failpoint
from harness.system.signals import Stop
from harness.tracking.base import Tracker
from harness.tracking.types import State
from harness.trial import Trial

KEPT = 5
"""The weights of so many best trials stay in the record, where nobody says otherwise."""
LAST = 3
"""Trials a slot that count as a sweep's last."""
HOPELESS = 10, 0.9
"""A study stops when, of at least so many trials that ended, this share failed."""

Ending = Literal["done", "timeout", "interrupted"]


class Source(Protocol):
    """Where trials come from and what came of them goes: a study, or fixed settings."""

    counts: Counts
    ranking: list[tuple[float, int]]

    @property
    def learns(self) -> bool:
        """Whether what comes back decides what is asked next."""

    @property
    def in_flight_limit(self) -> int | None: ...
    def ask(self) -> Trial: ...
    def report(self, number: int, metrics: EpochMetrics) -> bool: ...
    def rank(self, number: int, value: float) -> tuple[float, int]: ...
    def tell_result(self, number: int, result: TrialResult) -> None: ...
    def tell_failure(self, number: int, reason: str) -> None: ...
    def trial_uid(self, number: int) -> str: ...
    def requeue(self, number: int, reason: str, blamed: bool) -> int | None: ...
    def tell_interrupted(self, number: int, successor: int | None) -> None: ...


@dataclass
class Running:
    """A trial between its submission and its end."""

    trial: Trial
    worker: str = ""
    epochs: list[EpochMetrics] = field(default_factory=list)
    recorded: bool = False
    """Whether its end is on record already: then nothing but that may be told of it."""


@dataclass(frozen=True)
class Best:
    """The best trial so far, by the study's objective."""

    title: str
    """The trial's."""
    value: float
    settings: str


@dataclass
class Progress:
    """Where a sweep stands, for whoever watches."""

    target: int
    objective: Objective
    counts: Counts
    running: dict[str, Running] = field(default_factory=dict)
    best: Best | None = None
    started: float = field(default_factory=time.monotonic)
    ended: int = 0
    """Trials that this driver saw end."""
    epochs: int = 0

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def left(self) -> float | None:
        """Seconds, at the rate so far; None before there is one."""
        if not self.ended:
            return None
        return self.elapsed / self.ended * (self.target - self.counts.done)


class ProgressDisplay(Protocol):
    """Whoever shows progress; see harness.progress."""

    def message(self, text: str) -> None: ...
    def refresh(self, progress: Progress) -> None: ...
    def ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None: ...


class Driver:
    """One sweep: `run` drives it until `target` trials have ended for good."""

    def __init__(
        self,
        source: Source,
        executor: Executor,
        tracker: Tracker,
        watcher: ProgressDisplay,
        *,
        target: int,
        objective: Objective,
        keep: int = KEPT,
        timeout: float | None = None,
        best: Best | None = None,
    ) -> None:
        """The weights of the `keep` best trials stay in the record."""
        self._source, self._executor = source, executor
        self._tracker, self._watcher = tracker, watcher
        self._timeout, self._keep = timeout, keep
        self.progress = Progress(target, objective, source.counts, best=best)

    def run(self, stop: Stop) -> Ending:
        """Raises HarnessError for a hopeless study; what can be closed is closed before that."""
        try:
            while not stop.requested:
                with stop.shielded():
                    self._refill()
                if not self.progress.running:
                    done = self._source.counts.done >= self.progress.target
                    return "done" if done else "timeout"
                events = self._executor.wait(0.25)
                with stop.shielded():
                    for event in events:
                        self._handle(event)
                self._watcher.refresh(self.progress)
        except BaseException as error:
            with suppress(HarnessError, OSError):  # the first error is the one to tell
                self._drain(f"the driver stopped: {type(error).__name__}", stop)
            raise
        self._drain(f"interrupted by {stop.requested}", stop)
        return "interrupted"

    @property
    def _out_of_time(self) -> bool:
        return self._timeout is not None and self.progress.elapsed > self._timeout

    def _refill(self) -> None:
        """Keep every slot busy, and one trial in reserve for the slot that is free next.

        Where nothing is learnt from what comes back, the last trials are asked for together: the
        executor takes the longest first, and no worker is left with one when the others are done.
        """
        while self._wants_another():
            trial = self._source.ask()
            self.progress.running[trial.uid] = Running(trial)
            self._executor.submit([trial])
            failpoint("driver.asked")
            self._tracker.start(trial)

    def _wants_another(self) -> bool:
        running, slots = len(self.progress.running), self._executor.slots
        left = self.progress.target - self._source.counts.done - running
        limit = self._source.in_flight_limit
        if left <= 0 or self._out_of_time or (limit is not None and running >= limit):
            return False
        last = self._timeout is None and not self._source.learns and left <= LAST * slots
        return last or running <= slots

    def _handle(self, event: Event) -> None:
        running = self.progress.running[event.uid]
        running.worker = event.worker
        if isinstance(event, Epoch):
            self._tracker.log_epochs(event.uid, [event.metrics])
            failpoint("driver.logged")
            keep = self._source.report(running.trial.number, event.metrics)
            failpoint("driver.reported")
            self._executor.answer(event.uid, keep)
            running.epochs.append(event.metrics)
            self.progress.epochs += 1
        elif isinstance(event, Ended):
            self._end(running, event.outcome)
        else:
            self._interrupt(running, event.reason, blamed=True)

    def _end(self, running: Running, outcome: Outcome) -> None:
        trial = running.trial
        state: State
        reason = ""
        if isinstance(outcome, TrialFailure):
            state, reason = "FAILED", outcome.reason
        else:
            state = "PRUNED" if outcome.stopped == "pruned" else "COMPLETE"
        keep, displaced = self._place(trial, outcome) if state == "COMPLETE" else (False, "")
        self._tracker.finish(
            trial,
            state,
            worker=running.worker,
            epochs=running.epochs,
            outcome=outcome,
            reason=reason,
            keep=keep,
            displaced=displaced,
        )
        running.recorded = True
        failpoint("driver.recorded")
        if isinstance(outcome, TrialResult):
            self._source.tell_result(trial.number, outcome)
        else:
            self._source.tell_failure(trial.number, reason)
        failpoint("driver.told")
        self._close(running, state, outcome, reason)
        self._stop_if_hopeless()

    def _place(self, trial: Trial, outcome: Outcome) -> tuple[bool, str]:
        """Whether its weights are among the best so far, and whose go for them."""
        assert isinstance(outcome, TrialResult)
        value = outcome.best.objective(self.progress.objective)
        rank, ranking = self._source.rank(trial.number, value), self._source.ranking
        if not ranking or rank < ranking[0]:
            self.progress.best = Best(trial.title, value, trial.spec.describe())
        if len(ranking) < self._keep:
            return True, ""
        last = ranking[self._keep - 1]
        return (True, self._source.trial_uid(last[1])) if rank < last else (False, "")

    def _interrupt(self, running: Running, reason: str, blamed: bool) -> None:
        """The attempt came to nothing: queue its settings again, close its run."""
        successor = self._source.requeue(running.trial.number, reason, blamed)
        failpoint("driver.requeued")
        state: State = "FAILED" if blamed and successor is None else "INTERRUPTED"
        self._tracker.finish(
            running.trial,
            state,
            worker=running.worker,
            epochs=running.epochs,
            reason=reason,
            successor=successor,
        )
        failpoint("driver.interrupted")
        self._source.tell_interrupted(running.trial.number, successor)
        self._close(running, state, None, reason)

    def _close(self, running: Running, state: State, outcome: Outcome | None, reason: str) -> None:
        del self.progress.running[running.trial.uid]
        self.progress.counts = self._source.counts
        self.progress.ended += state != "INTERRUPTED"
        self._watcher.ended(self.progress, running.trial, state, outcome, reason)

    def _drain(self, reason: str, stop: Stop) -> None:
        """Close what runs as interrupted, each by itself: one that fails keeps no other open."""
        with suppress(KeyboardInterrupt):  # the second Ctrl-C: then the workers were killed
            self._executor.close()
        errors = []
        with stop.shielded():
            for running in list(self.progress.running.values()):
                if running.recorded:
                    continue  # the next driver tells what the record says
                try:
                    self._interrupt(running, reason, blamed=False)
                except (HarnessError, OSError) as error:
                    errors.append(error)
        if errors:
            raise errors[0]

    def _stop_if_hopeless(self) -> None:
        counts, (least, share) = self._source.counts, HOPELESS
        if counts.done >= least and counts.failed >= share * counts.done:
            raise HarnessError(
                f"{counts.failed} of {counts.done} trials failed; see their reasons in the record, "
                "choose tamer ones (a lower learning_rate first) and start over with --fresh"
            )
