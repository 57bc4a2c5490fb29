"""How values and metrics are called and shown in MLflow, whose charts group by the slash.

Groups: train, val (curves), best, val_class_accuracy (one value a trial), cost; view.py orders
them. A metric without a group would stand in a section of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.trial import EpochMetrics, TrialResult


def curves(epoch: EpochMetrics) -> dict[str, float]:
    return {
        "train/loss": epoch.train_loss,
        "train/accuracy": epoch.train_accuracy,
        "train/penalty": epoch.penalty,
        "val/loss": epoch.val_loss,
        "val/accuracy": epoch.val_accuracy,
        "train/learning_rate": epoch.learning_rate,
        "cost/epoch_seconds": epoch.seconds,
    }


def shown(value: Any) -> str:
    """A param as a person would write it; the exact value is in `trial.json`."""
    if value is None:
        return "auto"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def metric_part(name: str) -> str:
    """A class name as a part of a metric's name: MLflow allows letters, digits and _-./ space."""
    return "".join(c if c.isalnum() or c in "_-. " else "_" for c in name)


def by_class(prefix: str, classes: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """One metric for each class that has a value; a class without examples has none."""
    return {
        f"{prefix}/{metric_part(name)}": value
        for name, value in zip(classes, values, strict=True)
        if not math.isnan(value)
    }


def summary(result: TrialResult, classes: Sequence[str]) -> dict[str, float]:
    """A trial's metrics at its best epoch."""
    known = [value for value in result.class_accuracy if not math.isnan(value)]
    return by_class("val_class_accuracy", classes, result.class_accuracy) | {
        "best/val_accuracy": result.best.val_accuracy,
        "best/val_loss": result.best.val_loss,
        "best/val_class_mean": sum(known) / len(known),
        "best/epoch": result.best.epoch,
        "cost/parameters": result.parameters,
        "cost/seconds": result.seconds,
    }
