"""Train the final model of a study with folds: the champion's settings on all folds' examples.

It trains for as many epochs as the best one of the folds' mean, with the learning rates of these
epochs. No example is left to validate on: its score is that of the folds.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

from harness.analysis.final_model import FinalModel, load_final_model
from harness.analysis.formatting import format_count
from harness.data.cache import map_array
from harness.data.prepare import PreparedDataset
from harness.errors import HarnessError, Interruption
from harness.executors.base import Executor
from harness.results import TrialResult
from harness.search.fixed_trials import FixedSearch
from harness.sweep.driver import Driver
from harness.sweep.plan import Plan
from harness.sweep.progress import MessagesOnly, ProgressDisplay
from harness.system.failpoints import failpoint
from harness.system.signals import StopFlag
from harness.test_set.selection import freeze_selection
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.outbox import OutboxTracker
from harness.tracking.raw_types import FINAL_FILE, FINAL_WEIGHTS_FILE
from harness.tracking.types import StudyRun
from harness.trial import WHOLE, Trial


def train_final_model(
    plan: Plan,
    prepared: PreparedDataset,
    executor: Executor | None,
    tracker: OutboxTracker,
    study: StudyRun,
    watcher: ProgressDisplay,
    stop: StopFlag,
) -> None:
    """Train the study's final model, unless it has none or an earlier run trained it.

    `executor` None creates one. Raises Interruption, and HarnessError if the training fails.
    """
    if not study.is_retrained:
        return
    run = freeze_selection(study).model_run
    if load_final_model(tracker, run) is not None:
        return
    assert run.best is not None
    epochs, files = run.best.epoch, prepared.training.select_split(WHOLE)
    examples = len(map_array(files.train_rows))
    watcher.stage(f"training the final model on all {format_count(examples, 'example')}")
    # The only epoch that is evaluated is the last one of this training.
    spec = replace(run.spec, evaluate_every=epochs, patience=0)
    source = _FinalTraining(f"{run.uid}/final", [spec], epochs, study.objective)
    with (
        nullcontext(executor)
        if executor
        else plan.create_executor(prepared, 1, watcher.message) as workers
    ):
        driver = Driver(
            source,
            workers,
            InMemoryTracker(),
            MessagesOnly(watcher),
            target=1,
            objective=study.objective,
            noun="final model",
        )
        if driver.run(stop) == "interrupted":
            raise Interruption("interrupted during the final training; rerun the same command")
    outcome = source.outcomes[0]
    if not isinstance(outcome, TrialResult):
        raise HarnessError(
            f"trial {run.number}: the final model could not be trained on all folds' examples "
            f"({outcome.reason}); rerun the same command to try again, or take the folds' mean in "
            'another study, with [final] model = "folds"'
        )
    failpoint("final.trained")
    tracker.log_file(run.uid, FINAL_WEIGHTS_FILE, outcome.weights)
    failpoint("final.weights")
    record = FinalModel(
        epochs=epochs,
        examples=examples,
        seconds=outcome.seconds,
        train_loss=outcome.best.train_loss,
    )
    tracker.log_file(run.uid, FINAL_FILE, record.to_json())
    tracker.flush()


class _FinalTraining(FixedSearch):
    """The one trial on all examples."""

    def ask(self) -> Trial:
        return replace(super().ask(), split=WHOLE)
