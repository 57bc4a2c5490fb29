"""Measure the calibration of the champion's probabilities, and record it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from harness.analysis.calibration_record import CalibrationRecord
from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import Split, load_splits
from harness.engine.class_metrics import normalize_probabilities
from harness.models.calibrated import CALIBRATED_LOSS, CalibratedModel, compute_class_scores
from harness.models.ensemble import get_output_loss
from harness.stats.calibration import (
    compute_softmax,
    fit_temperature,
    measure_calibration,
    scale_across_folds,
)
from harness.stats.conformal import compute_set_threshold
from harness.sweep.fold_outputs import compute_fold_outputs, join_validation_sets
from harness.test_set.opening import predict_logits
from harness.tracking.raw_types import CALIBRATION_FILE
from harness.tracking.types import RunRecord, StudyRun
from harness.trial import Loss

if TYPE_CHECKING:
    from harness.test_set.opening import Model
    from harness.tracking.base import Tracker


def record_calibration(
    prepared: PreparedDataset, tracker: Tracker, study: StudyRun, run: RunRecord, model: Model
) -> CalibrationRecord | None:
    """Measure the model of a run on the validation set of its split, and record the result.

    With folds, the probabilities are those of each fold's network on its own validation set. None
    for a regression, if that split was not prepared again, and if the model is the mean of the
    folds' networks, whose probabilities no validation set shows.
    """
    if not study.classes or run.split > len(prepared.training.redrawn):
        return None
    if study.folds and not study.is_retrained:
        return None
    if study.folds:
        validation = join_validation_sets(prepared.training)
        logits = compute_fold_outputs(prepared, run, tracker.load_weights(run.uid))
    else:
        validation = load_splits(prepared.training.select_split(run.split)).validation
        logits = predict_logits(model, validation)
    record = measure_logits(run, logits, validation)
    tracker.log_file(study.uid, CALIBRATION_FILE, record.to_json())
    return record


def measure_logits(run: RunRecord, logits: Tensor, validation: Split) -> CalibrationRecord:
    """Fit the temperature of a classifier, and measure its probabilities with and without it.

    `logits` [n, C] are its outputs for the validation set.
    """
    true, logits = validation.labels[validation.rows].numpy(), logits.double()
    with torch.inference_mode():
        plain = normalize_probabilities(run.spec.loss, logits).numpy()
        scores = compute_class_scores(run.spec.loss, logits).numpy()
    temperature = fit_temperature(scores, true)
    likelihoods = (
        each[range(len(true)), true] for each in (plain, compute_softmax(scores / temperature))
    )
    plain_threshold, scaled_threshold = map(compute_set_threshold, likelihoods)
    return CalibrationRecord(
        run=run.uid,
        temperature=temperature,
        plain=measure_calibration(plain, true),
        scaled=measure_calibration(scale_across_folds(scores, true), true),
        plain_threshold=plain_threshold,
        scaled_threshold=scaled_threshold,
    )


def build_registered_model(
    study: StudyRun, run: RunRecord, network: Model, calibration: CalibrationRecord | None
) -> tuple[nn.Module, Loss, float | None]:
    """Return the model to register, the loss whose logits it gives, and its temperature.

    The temperature is None, and the model is the network, unless `[study] calibrated` is set.
    """
    if not study.is_calibrated or calibration is None:
        return network, get_output_loss(network, run.spec.loss), None
    temperature = calibration.temperature
    return (
        CalibratedModel(network, run.spec.loss, temperature).eval(),
        CALIBRATED_LOSS,
        temperature,
    )
