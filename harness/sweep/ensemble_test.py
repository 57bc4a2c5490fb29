"""The ensemble's part of the opening of the test set: its result, and the test of the champion."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeGuard

from harness.analysis.ensemble_record import ENSEMBLE_SUFFIX, EnsembleRecord, EnsembleScores
from harness.analysis.paired_tests import PairedTest, run_paired_test
from harness.inference.recorded_model import load_ensemble_network
from harness.test_set.selection import Selection
from harness.tracking.predictions import (
    TEST_PREDICTIONS_FILE,
    Predictions,
    TestPredictions,
)
from harness.tracking.raw_types import ENSEMBLE_FILE, ENSEMBLE_PREDICTIONS_FILE
from harness.tracking.test_reading import TestReading
from harness.tracking.types import StudyRun
from harness.trial import TrialSpec

if TYPE_CHECKING:
    from harness.models.ensemble import Ensemble
    from harness.tracking.base import Tracker

NO_TRIAL = -1
"""The number of an ensemble's reading, which is of no single trial."""


def is_ensemble_unread(record: EnsembleRecord | None) -> TypeGuard[EnsembleRecord]:
    """Whether there is an ensemble for which the test set is still to be read."""
    return record is not None and record.reading is None


def load_for_test(
    tracker: Tracker, study: StudyRun, record: EnsembleRecord
) -> tuple[str, int, TrialSpec, Ensemble]:
    """Return the ensemble as `read_test_set` takes it; its output is the log of probabilities."""
    network = load_ensemble_network(tracker, study, record)
    spec = TrialSpec(loss="cross-entropy" if study.classes else "mse")
    return f"{study.uid}{ENSEMBLE_SUFFIX}", NO_TRIAL, spec, network


def record_ensemble_test(
    tracker: Tracker,
    study: StudyRun,
    selection: Selection,
    record: EnsembleRecord,
    reading: TestReading,
    predictions: TestPredictions,
) -> None:
    """Record the ensemble's result on the test set beside that of the registered model."""
    run = selection.model_run
    champion = study.find_reading(run)
    has_same_loss = run.spec.loss == "cross-entropy" or not study.classes
    content = tracker.read_file(run.run_id, TEST_PREDICTIONS_FILE)
    stored = predictions.to_bytes()
    test: PairedTest | None = None
    if content is not None:
        test = run_paired_test(_read(content), _read(stored))
    scores = EnsembleScores(
        reading.examples,
        _get_tested_score(reading),
        _get_loss(reading),
        _get_tested_score(champion) if champion else None,
        _get_loss(champion) if champion and has_same_loss else None,
        test,
    )
    tracker.log_file(study.uid, ENSEMBLE_PREDICTIONS_FILE, stored)
    done = replace(record, reading=reading, tested=scores)
    tracker.log_file(study.uid, ENSEMBLE_FILE, done.to_json())


def _get_tested_score(reading: TestReading) -> float:
    """Return the accuracy or RMSE, which the paired test compares."""
    return replace(reading, score_metric=None).score


def _get_loss(reading: TestReading) -> float:
    """Return the log loss, or the mean squared error in squared units of the target."""
    return reading.loss if reading.rmse is None else reading.rmse**2


def _read(content: bytes) -> Predictions:
    """Return the recorded predictions on the test set as those on a validation set are kept."""
    stored = TestPredictions.from_bytes(content)
    is_regression = stored.probability is None
    return Predictions(stored.true.tobytes(), stored.predicted.tobytes(), is_regression)
