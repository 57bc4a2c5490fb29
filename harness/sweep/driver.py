"""The driver's loop: ask -> submit -> report, prune -> track -> tell.

One process makes every change of state: Optuna's record, MLflow's record, what runs. When a trial
ends, the tracker writes that to disk before Optuna is told. A driver that dies in between leaves
the trial RUNNING, and the next driver tells Optuna what the record says. So every ended
trial has its record, and no finished trial is trained again.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Literal, Protocol

from harness.analysis.confirmation import MODELS_KEPT
from harness.errors import HarnessError
from harness.executors.base import EpochEnded, Event, Executor, TrialEnded
from harness.results import EpochMetrics, Objective, Outcome, TrialFailure, TrialResult
from harness.search.counts import Counts
from harness.sweep.progress import BestTrial, Progress, ProgressDisplay, RunningTrial
from harness.system.failpoints import failpoint
from harness.system.signals import StopFlag
from harness.system.thread_switching import switch_threads_often
from harness.tracking.base import Tracker
from harness.tracking.types import State
from harness.trial import Trial

LAST_TRIALS_PER_SLOT = 3
"""A sweep's last trials: this many for each slot."""
MIN_ENDED_TRIALS, MAX_FAILED_SHARE = 10, 0.9
"""A study stops when this share of its trials failed, once this many have ended."""

Ending = Literal["done", "timeout", "interrupted"]


class TrialSource(Protocol):
    """Supplies trials and takes their results: a search, or fixed settings."""

    counts: Counts
    ranking: list[tuple[float, int]]

    @property
    def learns(self) -> bool:
        """Whether results decide which trial is asked for next."""

    @property
    def in_flight_limit(self) -> int | None: ...
    @property
    def limit(self) -> int | None:
        """The number of trials at which a stop rule has ended the sweep; None if none has."""

    def ask(self) -> Trial: ...
    def report(self, number: int, metrics: EpochMetrics) -> bool: ...
    def rank(self, number: int, value: float) -> tuple[float, int]: ...
    def tell_result(self, number: int, result: TrialResult) -> None: ...
    def tell_failure(self, number: int, reason: str) -> None: ...
    def trial_uid(self, number: int) -> str: ...
    def requeue(self, number: int, reason: str, blamed: bool) -> int | None: ...
    def tell_interrupted(self, number: int, successor: int | None) -> None: ...


class Driver:
    """One sweep: `run` drives it until `target` trials have ended."""

    def __init__(
        self,
        source: TrialSource,
        executor: Executor,
        tracker: Tracker,
        watcher: ProgressDisplay,
        *,
        target: int,
        objective: Objective,
        keep: int = MODELS_KEPT,
        timeout: float | None = None,
        best: BestTrial | None = None,
        noun: str = "trial",
    ) -> None:
        """`keep`: the number of best trials whose weights stay in the record."""
        self._source, self._executor = source, executor
        self._tracker, self._watcher = tracker, watcher
        self._timeout, self._keep = timeout, keep
        self.progress = Progress(
            target, objective, source.counts, best=best, timeout=timeout, noun=noun
        )

    def run(self, stop: StopFlag) -> Ending:
        """Run trials to the target, the timeout or a signal.

        Raises HarnessError if nearly all trials fail. Running trials are closed before any error.
        """
        with switch_threads_often():
            return self._run(stop)

    def _run(self, stop: StopFlag) -> Ending:
        try:
            while not stop.requested:
                with stop.shield():
                    self._refill()
                if not self.progress.running:
                    done = self._source.counts.done >= self.progress.target
                    return "done" if done else "timeout"
                events = self._executor.wait(0.25)
                with stop.shield():
                    for event in events:
                        self._handle_event(event)
                self._watcher.refresh(self.progress)
        except BaseException as error:
            with suppress(HarnessError, OSError):  # report the first error
                self._drain(f"the driver stopped: {type(error).__name__}", stop)
            raise
        self._watcher.stage(f"{stop.requested}: recording what runs; Ctrl-C again stops at once")
        self._drain(f"interrupted by {stop.requested}", stop)
        return "interrupted"

    @property
    def _is_out_of_time(self) -> bool:
        return self._timeout is not None and self.progress.elapsed > self._timeout

    def _refill(self) -> None:
        """Keep every slot busy, with one trial in reserve for the next free slot.

        A search that learns and trains one trial at a time has no reserve: each trial is chosen
        with the results of all earlier ones, so that a study in parts (`--trials 13`, later
        `--trials 20`) has the same trials as a study in one piece.

        If the source does not learn, the last trials are asked for together. The executor starts
        the longest first, so that all workers finish at about the same time.
        """
        while self._should_ask():
            trial = self._source.ask()
            self.progress.running[trial.uid] = RunningTrial(trial)
            self._executor.submit([trial])
            failpoint("driver.asked")
            self._tracker.start_trial(trial)

    def _should_ask(self) -> bool:
        running, slots = len(self.progress.running), self._executor.slots
        left = self.progress.target - self._source.counts.done - running
        limit = self._source.in_flight_limit
        if left <= 0 or self._is_out_of_time or (limit is not None and running >= limit):
            return False
        are_last = left <= LAST_TRIALS_PER_SLOT * slots
        ask_together = self._timeout is None and not self._source.learns and are_last
        reserve = 0 if self._source.learns and slots == 1 else 1
        return ask_together or running < slots + reserve

    def _handle_event(self, event: Event) -> None:
        running = self.progress.running[event.uid]
        running.worker = event.worker
        if isinstance(event, EpochEnded):
            self._tracker.log_epochs(event.uid, [event.metrics])
            failpoint("driver.logged")
            keep = self._source.report(running.trial.number, event.metrics)
            failpoint("driver.reported")
            self._executor.answer(event.uid, keep)
            running.epochs.append(event.metrics)
            self.progress.epochs += 1
        elif isinstance(event, TrialEnded):
            self._end_trial(running, event.outcome)
        else:
            self._interrupt_trial(running, event.reason, blamed=True)

    def _end_trial(self, running: RunningTrial, outcome: Outcome) -> None:
        trial = running.trial
        state: State
        reason = ""
        if isinstance(outcome, TrialFailure):
            state, reason = "FAILED", outcome.reason
        else:
            state = "PRUNED" if outcome.stopped == "pruned" else "COMPLETE"
        keep, displaced = self._rank_trial(trial, outcome) if state == "COMPLETE" else (False, "")
        self._tracker.finish_trial(
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
        self._close_trial(running, state, outcome, reason)
        self._stop_if_most_failed()

    def _rank_trial(self, trial: Trial, outcome: Outcome) -> tuple[bool, str]:
        """Return whether to keep the trial's weights, and the uid whose weights they displace."""
        assert isinstance(outcome, TrialResult)
        value = outcome.best.get_objective(self.progress.objective)
        rank, ranking = self._source.rank(trial.number, value), self._source.ranking
        if rank[0] == math.inf:  # outside [limits]
            return len(ranking) < self._keep, ""
        is_best = not ranking or rank < ranking[0]
        if is_best and trial.confirms is None:  # a single seed of a confirmation wins nothing
            self.progress.best = BestTrial.of(trial, value)
        if len(ranking) < self._keep:
            return True, ""
        worst = ranking[self._keep - 1]
        return (True, self._source.trial_uid(worst[1])) if rank < worst else (False, "")

    def _interrupt_trial(self, running: RunningTrial, reason: str, blamed: bool) -> None:
        """Close an attempt that gave no result, and queue its settings again."""
        successor = self._source.requeue(running.trial.number, reason, blamed)
        failpoint("driver.requeued")
        state: State = "FAILED" if blamed and successor is None else "INTERRUPTED"
        self._tracker.finish_trial(
            running.trial,
            state,
            worker=running.worker,
            epochs=running.epochs,
            reason=reason,
            successor=successor,
        )
        failpoint("driver.interrupted")
        self._source.tell_interrupted(running.trial.number, successor)
        self._close_trial(running, state, None, reason)

    def _close_trial(
        self, running: RunningTrial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        del self.progress.running[running.trial.uid]
        self.progress.counts = self._source.counts
        if self._source.limit is not None:
            self.progress.target = min(self.progress.target, self._source.limit)
        self.progress.ended_trials += state != "INTERRUPTED"
        self._watcher.trial_ended(self.progress, running.trial, state, outcome, reason)

    def _drain(self, reason: str, stop: StopFlag) -> None:
        """Close each running trial as interrupted; an error at one does not stop the others."""
        self.progress.is_stopping = True
        with suppress(KeyboardInterrupt):  # a second Ctrl-C has killed the workers
            self._executor.close()
        errors = []
        with stop.shield():
            for running in list(self.progress.running.values()):
                if running.recorded:
                    continue  # the next driver tells Optuna what the record says
                try:
                    self._interrupt_trial(running, reason, blamed=False)
                except (HarnessError, OSError) as error:
                    errors.append(error)
        if errors:
            raise errors[0]

    def _stop_if_most_failed(self) -> None:
        counts = self._source.counts
        if counts.done >= MIN_ENDED_TRIALS and counts.failed >= MAX_FAILED_SHARE * counts.done:
            failed = f"{counts.failed} of {counts.done} trials failed"
            remedy = "change the settings (a lower learning_rate first) and start over with --fresh"
            if self.progress.noun == "run":
                failed = f"{counts.failed} of {counts.done} confirmation runs failed"
                remedy = "rerun the study to retry, or with --no-confirm to finish without them"
            raise HarnessError(f"{failed}; see their reasons in the record, {remedy}")
