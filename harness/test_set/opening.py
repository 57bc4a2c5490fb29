"""Open the test set once for a frozen selection: the only file that opens a `SealedTest`.

For a search, only the registered model is evaluated, and the study's ensemble. For a grid or list,
nothing is chosen, because its settings were fixed before any result was known: one opening
evaluates every trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from harness.data.example_hashes import find_first_rows
from harness.data.torch_datasets import Split
from harness.engine.class_metrics import (
    compute_class_metrics,
    count_confusion,
    normalize_probabilities,
)
from harness.engine.losses import compute_example_losses, compute_probabilities
from harness.engine.validation_scores import compute_class_interval, get_class_metric
from harness.models.custom import CustomModel
from harness.models.ensemble import Ensemble
from harness.models.mlp import MLP
from harness.results import Objective
from harness.stats.metric_intervals import compute_loss_interval, compute_r2_interval
from harness.stats.regression import (
    compute_mae_interval,
    compute_pinball_losses,
    compute_regression_metrics,
    compute_rmse_interval,
)
from harness.test_set.calibration import RegisteredCalibration
from harness.test_set.log import TestSetLog
from harness.test_set.sealed import SealedTest
from harness.tracking.predictions import TestPredictions
from harness.tracking.test_reading import TestReading
from harness.trial import Loss, TrialSpec

BATCH = 500

Model = MLP | CustomModel | Ensemble


def read_test_set(
    selection: str,
    study: tuple[str, str],
    sealed: SealedTest,
    log: TestSetLog,
    trained: Iterable[tuple[str, int, TrialSpec, Model]],
    evaluate_also: Callable[[Split], None] | None = None,
    score_metric: Objective | None = None,
    calibration: RegisteredCalibration | None = None,
) -> Iterator[tuple[TestReading, TestPredictions]]:
    """Open the test set and evaluate models on it. The log records it before anything is read.

    Args:
        selection: the hash of the selection.
        study: (name, uid), for the log.
        trained: (uid, number, settings, model) of each run.
        evaluate_also: called with the test set first, to evaluate baselines in the same opening.
        score_metric: the objective, if it is the score; its interval is recorded too.
        calibration: that of the registered model; its probabilities are measured with it.
    """
    test = sealed.open(log, selection, study)
    assert sealed.opening is not None
    assert sealed.parts is not None
    opening, copies = sealed.opening, sealed.parts.copies
    if evaluate_also is not None:
        evaluate_also(test)
    for uid, number, spec, model in trained:
        if model.is_regression:
            metrics, predictions = _evaluate_regression(model, test, copies, spec, score_metric)
        else:
            mine = calibration if calibration and calibration.record.run == uid else None
            metrics, predictions = _evaluate_classifier(
                model, spec.loss, test, copies, score_metric, mine
            )
        reading = TestReading(
            selection=selection, number=number, time=time.time(), run=uid,
            look=opening.look, overlap=opening.overlap, copies=copies,
            score_metric=score_metric, **metrics,
        )  # fmt: skip
        log.record_reading(reading)
        yield reading, predictions


def _evaluate_regression(
    model: Model, test: Split, copies: int, spec: TrialSpec, score_metric: Objective | None
) -> tuple[dict[str, Any], TestPredictions]:
    """Return the fields of a TestReading that depend on the task, and the predictions.

    With copies among the examples, intervals are those of the first of each.
    """
    true, values = test.labels[test.rows], predict_values(model, test)
    once = find_first_rows(test.inputs.numpy()) if copies else slice(None)
    errors = model.compute_target_errors(values, true)
    losses, more, interval = errors.square(), {}, None
    if spec.loss == "quantile" or score_metric == "val/quantile_loss":
        pinball = compute_pinball_losses(values.numpy(), true.numpy(), spec.quantile)
        more["quantile_loss"] = float(pinball.mean())
        interval = compute_loss_interval(pinball[once])
    if spec.loss == "quantile":
        numbers = errors.numpy()
        losses = torch.from_numpy(compute_pinball_losses(numbers, 0 * numbers, spec.quantile))
    if score_metric == "val/r2":
        interval = compute_r2_interval(values.numpy()[once], true.numpy()[once])
    metrics = {
        "loss": float(losses.mean()),
        "confusion": (),
        "interval": compute_rmse_interval(values.numpy()[once], true.numpy()[once]),
        "mae_interval": compute_mae_interval(values.numpy()[once], true.numpy()[once]),
        "foretold": len(true),
        "more": more,
        "score_interval": interval if score_metric else None,
        **compute_regression_metrics(values, true),
    }
    return metrics, TestPredictions(true.numpy(), values.numpy())


def _evaluate_classifier(
    model: Model,
    loss: Loss,
    test: Split,
    copies: int,
    score_metric: Objective | None,
    calibration: RegisteredCalibration | None,
) -> tuple[dict[str, Any], TestPredictions]:
    """Return the same for a classifier that was trained with `loss`.

    Its metrics are those of the network without a temperature, as on the validation set, so that
    both can be compared. `probability` of the predictions is that of the registered model.
    """
    true = test.labels[test.rows]
    losses, outputs = [], []
    with torch.inference_mode():
        for rows in torch.split(test.rows, BATCH):
            logits = model(test.inputs[rows])
            losses.append(compute_example_losses(loss, logits, test.labels[rows]))
            outputs.append(logits)
    logits = torch.cat(outputs)
    predicted, confusion = (
        logits.argmax(1),
        count_confusion(true, logits.argmax(1), logits.shape[1]),
    )
    probabilities = normalize_probabilities(loss, logits)
    once = find_first_rows(test.inputs.numpy()) if copies else slice(None)
    metrics: dict[str, Any] = {
        "loss": torch.cat(losses).mean().item(),
        "confusion": tuple(tuple(row) for row in confusion.tolist()),
        "more": compute_class_metrics(probabilities, true, confusion),
    }
    if score_metric is not None and (metric := get_class_metric(score_metric)) is not None:
        metrics["score_interval"] = compute_class_interval(
            metric, probabilities[once], true[once], predicted[once]
        )
    confidence = compute_probabilities(loss, logits).max(1).values.numpy()
    if calibration is not None:
        metrics["calibration"] = calibration.measure(loss, logits, true.numpy(), once)
        if calibration.is_applied:
            confidence = calibration.scale(loss, logits).max(1)
    return metrics, TestPredictions(true.numpy(), predicted.numpy(), confidence)


@torch.inference_mode()
def predict_values(model: Model, split: Split) -> torch.Tensor:
    """Return a regression's predictions [n], in the target's own units."""
    return torch.cat([model(split.inputs[rows])[:, 0] for rows in torch.split(split.rows, BATCH)])


@torch.inference_mode()
def predict_outputs(model: Model, split: Split) -> torch.Tensor:
    """Return a regression's predicted values, or predicted classes, [n]."""
    return (
        predict_values(model, split)
        if model.is_regression
        else predict_logits(model, split).argmax(1)
    )


@torch.inference_mode()
def predict_logits(model: Model, split: Split) -> torch.Tensor:
    """Return a classifier's logits [n, C]."""
    return torch.cat([model(split.inputs[rows]) for rows in torch.split(split.rows, BATCH)])
