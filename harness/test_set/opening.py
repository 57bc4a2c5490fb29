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
from harness.engine.losses import compute_example_losses, compute_probabilities
from harness.models.custom import CustomModel
from harness.models.ensemble import Ensemble
from harness.models.mlp import MLP
from harness.stats.regression import (
    compute_mae_interval,
    compute_regression_metrics,
    compute_rmse_interval,
)
from harness.test_set.log import TestSetLog
from harness.test_set.sealed import SealedTest
from harness.tracking.predictions import TestPredictions
from harness.tracking.test_reading import TestReading
from harness.trial import Loss

BATCH = 500

Model = MLP | CustomModel | Ensemble


def read_test_set(
    selection: str,
    study: tuple[str, str],
    sealed: SealedTest,
    log: TestSetLog,
    trained: Iterable[tuple[str, int, Loss, Model]],
    evaluate_also: Callable[[Split], None] | None = None,
) -> Iterator[tuple[TestReading, TestPredictions]]:
    """Open the test set and evaluate models on it. The log records it before anything is read.

    Args:
        selection: the hash of the selection.
        study: (name, uid), for the log.
        trained: (uid, number, loss, model) of each run.
        evaluate_also: called with the test set first, to evaluate baselines in the same opening.
    """
    test = sealed.open(log, selection, study)
    assert sealed.opening is not None
    assert sealed.parts is not None
    opening, copies = sealed.opening, sealed.parts.copies
    if evaluate_also is not None:
        evaluate_also(test)
    for uid, number, loss, model in trained:
        if model.is_regression:
            metrics, predictions = _evaluate_regression(model, test, copies)
        else:
            metrics, predictions = _evaluate_classifier(model, loss, test)
        reading = TestReading(
            selection=selection, number=number, time=time.time(), run=uid,
            look=opening.look, overlap=opening.overlap, copies=copies, **metrics,
        )  # fmt: skip
        log.record_reading(reading)
        yield reading, predictions


def _evaluate_regression(
    model: Model, test: Split, copies: int
) -> tuple[dict[str, Any], TestPredictions]:
    """Return the fields of a TestReading that depend on the task, and the predictions.

    With copies among the examples, intervals are those of the first of each.
    """
    true, values = test.labels[test.rows], predict_values(model, test)
    once = find_first_rows(test.inputs.numpy()) if copies else slice(None)
    metrics = {
        "loss": float(((values - true) / model.target_std).square().mean()),
        "confusion": (),
        "interval": compute_rmse_interval(values.numpy()[once], true.numpy()[once]),
        "mae_interval": compute_mae_interval(values.numpy()[once], true.numpy()[once]),
        "foretold": len(true),
        **compute_regression_metrics(values, true),
    }
    return metrics, TestPredictions(true.numpy(), values.numpy())


def _evaluate_classifier(
    model: Model, loss: Loss, test: Split
) -> tuple[dict[str, Any], TestPredictions]:
    """Return the same for a classifier that was trained with `loss`."""
    true = test.labels[test.rows]
    losses, confidences, predictions = [], [], []
    with torch.inference_mode():
        for rows in torch.split(test.rows, BATCH):
            logits = model(test.inputs[rows])
            losses.append(compute_example_losses(loss, logits, test.labels[rows]))
            confidences.append(compute_probabilities(loss, logits).max(1).values)
            predictions.append(logits.argmax(1))
    predicted, classes = torch.cat(predictions), logits.shape[1]
    counts = torch.bincount(true * classes + predicted, minlength=classes**2)
    metrics = {
        "loss": torch.cat(losses).mean().item(),
        "confusion": tuple(tuple(row) for row in counts.view(classes, classes).tolist()),
    }
    confidence = torch.cat(confidences).numpy()
    return metrics, TestPredictions(true.numpy(), predicted.numpy(), confidence)


@torch.inference_mode()
def predict_values(model: Model, split: Split) -> torch.Tensor:
    """Return a regression's predictions [n], in the target's own units."""
    return torch.cat([model(split.inputs[rows])[:, 0] for rows in torch.split(split.rows, BATCH)])


@torch.inference_mode()
def predict_outputs(model: Model, split: Split) -> torch.Tensor:
    """Return a regression's predicted values, or predicted classes, [n]."""
    if model.is_regression:
        return predict_values(model, split)
    batches = torch.split(split.rows, BATCH)
    return torch.cat([model(split.inputs[rows]).argmax(1) for rows in batches])
