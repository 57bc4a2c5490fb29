"""More scores of a validated epoch: the objective in each, all metrics in the best one.

In every epoch only the objective is measured. AUC alone sorts all examples for each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from harness.engine.class_metrics import (
    ClassMetric,
    compute_class_metric,
    compute_class_metrics,
    compute_contributions,
    normalize_probabilities,
)
from harness.metrics import CLASS_FIELDS, is_higher_better
from harness.results import Objective
from harness.stats.metric_intervals import (
    compute_loss_interval,
    compute_r2_interval,
    compute_share_interval,
)
from harness.stats.regression import compute_pinball_losses
from harness.trial import Loss, TrialSpec

if TYPE_CHECKING:
    from harness.engine.device_data import DeviceData
    from harness.engine.slot_data import Folds
    from harness.engine.trial_state import BestEpoch
    from harness.engine.validation import ValidationMetrics

CHUNK = 2**24
"""Probabilities that are in memory at once."""


def check_objective(objective: Objective, data: DeviceData) -> None:
    """Raise ValueError if the objective cannot be measured on the validation set."""
    if objective == "val/auc" and bool((data.val_labels == data.val_labels[0]).all()):
        raise ValueError(
            "objective: val/auc needs validation examples of two classes or more, and all are of "
            "one class"
        )


def get_class_metric(objective: Objective) -> ClassMetric | None:
    """Return the metric that `class_metrics` measures for this objective; None for others."""
    field = objective.replace("/", "_")
    return cast(ClassMetric, field.removeprefix("val_")) if field in CLASS_FIELDS else None


def measure_objective(
    objective: Objective,
    validated: ValidationMetrics,
    specs: Sequence[TrialSpec | None],
    data: DeviceData,
) -> list[dict[str, float]]:
    """Return the fields of EpochMetrics that this objective adds, for each slot.

    `specs` are the trials of the slots, None for an empty one.
    """
    values: list[dict[str, float]] = [{} for _ in specs]
    field = objective.replace("/", "_")
    if objective == "val/quantile_loss":
        for slot, spec in enumerate(specs):
            if spec is not None:
                losses = _compute_quantile_losses(validated.predictions[slot], spec, data)
                values[slot] = {field: float(losses.mean())}
    elif (metric := get_class_metric(objective)) is not None:
        for slots, measured in _measure_by_loss(metric, validated, specs, data):
            for slot, value in zip(slots, measured.tolist(), strict=True):
                values[slot] = {field: value}
    return values


def _measure_by_loss(
    metric: ClassMetric,
    validated: ValidationMetrics,
    specs: Sequence[TrialSpec | None],
    data: DeviceData,
) -> list[tuple[list[int], Tensor]]:
    """Return the metric of slots whose models have the same loss, as many as fit into memory.

    All slots with a trial have the validation set of `data`.
    """
    by_loss: dict[Loss, list[int]] = {}
    for slot, spec in enumerate(specs):
        if spec is not None:
            by_loss.setdefault(spec.loss, []).append(slot)
    size = max(1, CHUNK // (len(data.val_labels) * data.classes))
    measured = []
    for loss, all_slots in by_loss.items():
        for start in range(0, len(all_slots), size):
            slots = all_slots[start : start + size]
            logits = validated.select_outputs(slots).transpose(0, 1)
            probabilities = normalize_probabilities(loss, logits)  # [S, n, C]
            confusion = validated.confusion[slots]
            values = compute_class_metric(metric, probabilities, data.val_labels, confusion)
            measured.append((slots, values))
    return measured


def measure_best(
    best: BestEpoch, spec: TrialSpec, data: DeviceData, objective: Objective
) -> dict[str, float]:
    """Return the fields of EpochMetrics that only the best epoch has."""
    if data.is_regression:
        if spec.loss != "quantile" and objective != "val/quantile_loss":
            return {}
        losses = _compute_quantile_losses(best.predictions, spec, data)
        return {"val_quantile_loss": float(losses.mean())}
    assert best.outputs is not None
    probabilities = normalize_probabilities(spec.loss, best.outputs)
    values = compute_class_metrics(probabilities, data.val_labels, best.confusion)
    return {f"val_{name}": value for name, value in values.items()}


def compute_costs(
    objective: Objective,
    spec: TrialSpec,
    validated: ValidationMetrics,
    slot: int,
    data: DeviceData,
) -> Tensor | None:
    """Return each example's part of the objective [n], lower is better.

    None for the objectives whose parts follow from the predictions alone.
    """
    metric = get_class_metric(objective)
    if metric is None:
        return None
    logits, predictions = validated.select_outputs([slot])[:, 0], validated.predictions[slot]
    parts = compute_contributions(
        metric, normalize_probabilities(spec.loss, logits), data.val_labels, predictions
    )
    return -parts if is_higher_better(objective) else parts


def compute_objective_interval(
    best: BestEpoch, spec: TrialSpec, data: DeviceData, objective: Objective
) -> tuple[float, float] | None:
    """Return the 95 % interval of an objective that is the score; None for accuracy or RMSE."""
    if objective == "val/quantile_loss":
        return compute_loss_interval(_compute_quantile_losses(best.predictions, spec, data))
    if objective == "val/r2":
        return compute_r2_interval(best.predictions.cpu().numpy(), data.val_targets.numpy())
    metric = get_class_metric(objective)
    if metric is None:
        return None
    assert best.outputs is not None
    probabilities = normalize_probabilities(spec.loss, best.outputs)
    return compute_class_interval(metric, probabilities, data.val_labels, best.predictions)


def compute_pooled_interval(
    epochs: Sequence[BestEpoch], spec: TrialSpec, folds: Folds, objective: Objective
) -> tuple[float, float] | None:
    """Return the 95 % interval of an objective over the validation sets of all folds; see
    `compute_objective_interval`.

    Each example's part is that of its own fold's metric.
    """
    if objective in ("val/quantile_loss", "val/r2"):
        predicted = torch.cat([epoch.predictions for epoch in epochs]).cpu().numpy()
        true = torch.cat([data.val_targets for data in folds]).numpy()
        if objective == "val/r2":
            return compute_r2_interval(predicted, true)
        return compute_loss_interval(compute_pinball_losses(predicted, true, spec.quantile))
    metric = get_class_metric(objective)
    if metric is None:
        return None
    parts = []
    for epoch, data in zip(epochs, folds, strict=True):
        assert epoch.outputs is not None
        probabilities = normalize_probabilities(spec.loss, epoch.outputs)
        parts.append(
            compute_contributions(metric, probabilities, data.val_labels, epoch.predictions)
        )
    true_classes = torch.cat([data.val_labels for data in folds])
    return _compute_parts_interval(metric, torch.cat(parts), true_classes)


def compute_class_interval(
    metric: ClassMetric, probabilities: Tensor, true: Tensor, predicted: Tensor
) -> tuple[float, float] | None:
    """Return the 95 % interval of a metric of probabilities [n, C] and classes [n]."""
    parts = compute_contributions(metric, probabilities, true, predicted)
    return _compute_parts_interval(metric, parts, true)


def _compute_parts_interval(
    metric: ClassMetric, contributions: Tensor, true: Tensor
) -> tuple[float, float] | None:
    parts = contributions.cpu().numpy()
    if metric in ("log_loss", "brier"):
        return compute_loss_interval(parts)
    counts = true.bincount()
    return compute_share_interval(parts, int(counts[counts > 0].min()))


def _compute_quantile_losses(predictions: Tensor, spec: TrialSpec, data: DeviceData) -> np.ndarray:
    return compute_pinball_losses(
        predictions.cpu().numpy(), data.val_targets.numpy(), spec.quantile
    )
