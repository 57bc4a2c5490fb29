"""What a validation of K slots measures, from their outputs: metrics, predictions, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from harness.engine.class_metrics import count_confusion
from harness.engine.device_data import DeviceData
from harness.engine.slot_data import SlotData
from harness.models.target_transform import Statistics, to_target_units
from harness.stats.regression import compute_regression_metrics
from harness.trial import TargetTransform


class ValidationMetrics(NamedTuple):
    """What an epoch's validation measured, one entry a slot."""

    loss: list[float]
    example_losses: Sequence[Tensor]
    """K times [n], of which `loss` has the means."""
    confusion: Tensor
    """[K, C, C], examples by [true][predicted]; [K, 0, 0] of a regression."""
    predictions: Sequence[Tensor]
    """K times [n] uint8; of a regression float32, in the target's own units."""
    metrics: list[dict[str, float]]
    """By the names of EpochMetrics."""
    outputs: list[Tensor]
    """The logits of each batch, [B, K, C]; empty for a regression."""

    def select_outputs(self, slots: Sequence[int]) -> Tensor:
        """Return the logits [n, S, C] of slots with the same validation set."""
        size = len(self.predictions[slots[0]])
        return torch.cat([batch[:, slots] for batch in self.outputs])[:size]


def measure_slots(
    data: DeviceData,
    target: tuple[TargetTransform, Statistics],
    predicted: Tensor,
    means: list[float],
    example_losses: Tensor,
    outputs: list[Tensor],
) -> ValidationMetrics:
    """Measure slots with the same validation set.

    Args:
        target: The transform of a regression's target, and its statistics.
        predicted: Classes [n, K], or a regression's outputs.
        means: Of each slot's `example_losses`, [n, K].
        outputs: See `ValidationMetrics`.
    """
    slots, classes = predicted.shape[1], data.classes
    losses = means, list(example_losses.t())
    if data.is_regression:
        transform, statistics = target
        values = to_target_units(transform, predicted, statistics).t().float()  # [K, n]
        by_slot = [compute_regression_metrics(row, data.val_targets) for row in values.cpu()]
        metrics = [{f"val_{k}": value for k, value in row.items()} for row in by_slot]
        none = values.new_empty(slots, 0, 0)
        return ValidationMetrics(*losses, none, list(values), metrics, outputs)
    slot = torch.arange(slots, device=predicted.device)
    # Each (slot, true class, predicted class) as one index, [n, K].
    cells = (slot * classes + data.val_labels.unsqueeze(1)) * classes + predicted
    counts = torch.bincount(cells.flatten(), minlength=slots * classes**2)
    confusion = counts.view(slots, classes, classes)
    correct = confusion.diagonal(dim1=1, dim2=2).sum(1).tolist()
    metrics = [{"val_accuracy": count / len(predicted)} for count in correct]
    chosen = list(predicted.t().to(torch.uint8))
    return ValidationMetrics(*losses, confusion, chosen, metrics, outputs)


def measure_folds(
    data: SlotData, predicted: Tensor, example_losses: Tensor, outputs: list[Tensor]
) -> ValidationMetrics:
    """Measure slots that each have another validation set.

    `predicted` and `example_losses` are [n, K], where n is the size of the largest set.
    """
    sizes = data.list_validation_sizes()
    by_slot = [each[:size] for each, size in zip(example_losses.t(), sizes, strict=True)]
    loss = torch.stack([each.mean() for each in by_slot]).tolist()
    values, metrics, confusion = list[Tensor](), list[dict[str, float]](), list[Tensor]()
    for slot, size in enumerate(sizes):
        fold, of_slot = data.get_fold(slot), predicted[:size, slot]
        if data.is_regression:
            statistics = fold.get_target("standard").statistics
            values.append(to_target_units("standard", of_slot, statistics).float())
            measured = compute_regression_metrics(values[-1].cpu(), fold.val_targets)
            metrics.append({f"val_{name}": value for name, value in measured.items()})
            continue
        values.append(of_slot.to(torch.uint8))
        confusion.append(count_confusion(fold.val_labels, of_slot, data.classes))
        metrics.append({"val_accuracy": int(confusion[-1].diagonal().sum()) / size})
    counts = torch.stack(confusion) if confusion else example_losses.new_empty(len(sizes), 0, 0)
    return ValidationMetrics(loss, by_slot, counts, values, metrics, outputs)
