"""Train the final model of a study with folds: the champion's settings on all folds' examples.

It trains for as many epochs as the best one of the folds' mean, with the learning rates of these
epochs. No example is left to validate on: its score is that of the folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.analysis.final_model import FinalModel, load_final_model
from harness.analysis.formatting import format_count
from harness.data.cache import map_array
from harness.data.prepare import PreparedDataset
from harness.errors import HarnessError, Interruption
from harness.executors.base import Executor
from harness.results import EpochMetrics, Objective, TrialFailure, TrialResult
from harness.search.fixed_trials import FixedSearch
from harness.sweep.driver import Driver
from harness.sweep.plan import Plan
from harness.sweep.progress import MessagesOnly, ProgressDisplay
from harness.system.failpoints import failpoint
from harness.system.signals import StopFlag
from harness.test_set.selection import freeze_selection, list_tested_runs
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.outbox import OutboxTracker
from harness.tracking.raw_types import FINAL_FILE, FINAL_WEIGHTS_FILE
from harness.tracking.types import RunRecord, StudyRun
from harness.trial import WHOLE, Trial

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


def train_final_model(
    plan: Plan,
    prepared: PreparedDataset,
    executor: Executor | None,
    tracker: OutboxTracker,
    study: StudyRun,
    watcher: ProgressDisplay,
    stop: StopFlag,
) -> None:
    """Train the final models that the study needs and an earlier run has not trained.

    A grid or list needs one for each trial that is read on the test set, so that all are compared
    alike. `executor` None creates one. Raises Interruption, and HarnessError if a training fails.
    """
    runs = list_missing_models(tracker, study)
    if not runs:
        return
    examples = len(map_array(prepared.training.select_split(WHOLE).train_rows))
    what = "the final model" if len(runs) == 1 else f"{len(runs):,} final models"
    watcher.stage(f"training {what} on all {format_count(examples, 'example')}")
    source = _RecordedTraining(study, runs, tracker, examples)
    with (
        nullcontext(executor)
        if executor
        else plan.create_executor(
            prepared, len(runs), watcher.message, max(map(_get_best_epoch, runs))
        ) as workers
    ):
        driver = Driver(
            source,
            workers,
            InMemoryTracker(),
            MessagesOnly(watcher),
            target=len(runs),
            objective=study.objective,
            noun="final model",
        )
        if driver.run(stop) == "interrupted":
            raise Interruption("interrupted during the final training; rerun the same command")
    tracker.flush()
    for number, outcome in sorted(source.outcomes.items()):
        if isinstance(outcome, TrialFailure):
            run, other = runs[number], "choose another champion with more trials (--trials)"
            if prepared.table is None:
                other = (
                    "take the mean of the folds' networks in another study, with [final] model = "
                    '"folds"'
                )
            raise HarnessError(
                f"trial {run.number}: its final model could not be trained on all folds' examples "
                f"({outcome.reason}); rerun the same command to try again, or {other}"
            )


def list_missing_models(tracker: Tracker, study: StudyRun) -> list[RunRecord]:
    """Return the runs whose final model is still to be trained, the best first."""
    if not study.is_retrained:
        return []
    run = freeze_selection(study).model_run
    runs = list_tested_runs(study, run) if study.has_test_set else [run]
    return [each for each in runs if load_final_model(tracker, each) is None]


class FinalTraining(FixedSearch):
    """Trainings of runs' settings on all examples, up to the best epoch of each."""

    def __init__(self, uid: str, runs: Sequence[RunRecord], objective: Objective) -> None:
        # The only epoch that is evaluated is the last one of this training.
        specs = [replace(run.spec, evaluate_every=_get_best_epoch(run), patience=0) for run in runs]
        super().__init__(uid, specs, objective=objective)

    def ask(self) -> Trial:
        return replace(super().ask(), split=WHOLE)

    def report(self, number: int, metrics: EpochMetrics) -> bool:
        return False


class _RecordedTraining(FinalTraining):
    """Final trainings; each result is recorded at once."""

    def __init__(
        self, study: StudyRun, runs: Sequence[RunRecord], tracker: Tracker, examples: int
    ) -> None:
        super().__init__(f"{study.uid}/final", runs, study.objective)
        self._is_single = False  # a training whose worker dies is tried again
        self._runs, self._tracker, self._examples = runs, tracker, examples

    def tell_result(self, number: int, result: TrialResult) -> None:
        failpoint("final.trained")
        run = self._runs[self._started[number][0]]
        self._tracker.log_file(run.uid, FINAL_WEIGHTS_FILE, result.weights)
        failpoint("final.weights")
        record = FinalModel(
            epochs=_get_best_epoch(run),
            examples=self._examples,
            seconds=result.seconds,
            train_loss=result.best.train_loss,
        )
        self._tracker.log_file(run.uid, FINAL_FILE, record.to_json())
        super().tell_result(number, replace(result, weights=b"", predictions=b""))


def _get_best_epoch(run: RunRecord) -> int:
    assert run.best is not None
    return run.best.epoch
