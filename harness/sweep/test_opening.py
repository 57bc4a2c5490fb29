"""Open the test set for a study's frozen selection, and record each result."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.analysis.calibration_record import load_calibration
from harness.analysis.ensemble_record import EnsembleRecord
from harness.analysis.final_model import read_model_weights
from harness.analysis.formatting import format_count
from harness.data.prepare import PreparedDataset
from harness.errors import Interruption
from harness.sweep.progress import ProgressDisplay
from harness.system.failpoints import failpoint
from harness.system.signals import StopFlag
from harness.test_set.selection import Selection, list_unread_runs
from harness.tracking.predictions import TEST_PREDICTIONS_FILE
from harness.tracking.raw_types import selection_file
from harness.tracking.types import RunRecord, StudyRun
from harness.trial import TrialSpec
from harness.workspace import Workspace

if TYPE_CHECKING:
    from harness.test_set.opening import Model
    from harness.tracking.base import Tracker


def open_test_set(
    workspace: Workspace,
    prepared: PreparedDataset,
    tracker: Tracker,
    selection: Selection,
    study: StudyRun,
    watcher: ProgressDisplay,
    stop: StopFlag,
    ensemble: EnsembleRecord | None = None,
) -> StudyRun:
    """Record the selection, then open the test set for the runs that were not read yet.

    `ensemble` is read in the same opening, unless it was read before. Return the study with the new
    readings. Each is recorded at once: after a crash, only the others are read. Raises
    Interruption.
    """
    from harness.sweep.baseline_results import fit_for_test
    from harness.sweep.ensemble_test import (
        is_ensemble_unread,
        load_for_test,
        record_ensemble_test,
    )
    from harness.sweep.fold_outputs import select_final_files
    from harness.test_set.calibration import RegisteredCalibration
    from harness.test_set.opening import read_test_set
    from harness.test_set.sealed import SealedTest

    waiting = list_unread_runs(study, selection)
    again = " again" if study.readings else ""
    trials = f"trial {selection.champion.number}"
    if study.is_grid_or_list:
        trials = f"{format_count(len(waiting), 'trial')}, in one opening"
    part = f"{study.test_name} set"
    watcher.stage(f"opening the {part}{again} for {trials}")
    check_not_interrupted(stop)
    test_baselines = fit_for_test(prepared, tracker, study, selection)
    for run in waiting:  # missing weights must show before the test set is opened
        load_recorded_model(tracker, study, run)
    record = load_calibration(tracker, study, selection.model_run)
    calibration = RegisteredCalibration(record, study.is_calibrated) if record else None
    _record_selection(tracker, selection, study)
    failpoint("conclude.selected")
    # A generator: only one trial's model at a time is in memory.
    trained: Iterable[tuple[str, int, TrialSpec, Model]] = (
        _load_for_test(tracker, study, run) for run in waiting
    )
    if is_ensemble_unread(ensemble):
        trained = itertools.chain(trained, [load_for_test(tracker, study, ensemble)])
    log = workspace.test_set_log(prepared.test_digest)
    sealed, name = SealedTest.of(select_final_files(prepared)), (study.name, study.uid)
    score_metric = study.score.objective
    results = read_test_set(
        selection.hash, name, sealed, log, trained, test_baselines, score_metric, calibration
    )
    readings = []
    for run in waiting:
        reading, predictions = next(results)
        tracker.log_file(run.uid, TEST_PREDICTIONS_FILE, predictions.to_bytes())
        failpoint("conclude.opened")
        tracker.log_test(study.uid, reading, run.number == selection.champion.number)
        failpoint("conclude.read")
        readings.append(reading)
    study = replace(study, readings=(*study.readings, *readings))
    for reading, predictions in results:
        assert ensemble is not None
        record_ensemble_test(tracker, study, selection, ensemble, reading, predictions)
        failpoint("ensemble.read")
    return study


def record_sealed_selection(
    workspace: Workspace,
    prepared: PreparedDataset,
    tracker: Tracker,
    selection: Selection,
    study: StudyRun,
) -> None:
    """Record the frozen selection of a study whose test set stays sealed, and its training set."""
    from harness.sweep.baseline_results import record_validation_baselines
    from harness.sweep.fold_outputs import select_final_files

    if prepared.sizes["test"]:
        from harness.test_set.sealed import identify_parts

        log = workspace.test_set_log(prepared.test_digest)
        trained = identify_parts(select_final_files(prepared))
        log.record_training(study.name, study.uid, trained)
    record_validation_baselines(prepared, tracker, study, selection)
    _record_selection(tracker, selection, study)


def is_frozen(tracker: Tracker, study: StudyRun, selection: Selection) -> bool:
    """Whether the selection is on record, which it is before the test set is opened for it."""
    return tracker.read_file(study.run_id, selection_file(selection.hash)) is not None


def check_not_interrupted(stop: StopFlag) -> None:
    """Raise Interruption if a signal asked the command to stop."""
    if stop.requested:
        raise Interruption(
            "interrupted before the test set was read; rerun the same command to continue"
        )


def load_recorded_model(tracker: Tracker, study: StudyRun, run: RunRecord) -> Model:
    """Load the model of a run, or its final model, from the recorded weights. Raises StoreError."""
    from harness.models.mlp import load_model

    return load_model(run.spec, len(study.classes), read_model_weights(tracker, study, run))


def _load_for_test(
    tracker: Tracker, study: StudyRun, run: RunRecord
) -> tuple[str, int, TrialSpec, Model]:
    """Return a run's model as `read_test_set` takes it."""
    from harness.models.ensemble import get_output_loss

    model = load_recorded_model(tracker, study, run)
    return run.uid, run.number, replace(run.spec, loss=get_output_loss(model, run.spec.loss)), model


def _record_selection(tracker: Tracker, selection: Selection, study: StudyRun) -> None:
    document = selection.to_dict() | {"hash": selection.hash, "time": time.time()}
    tracker.log_selection(study.uid, document)
