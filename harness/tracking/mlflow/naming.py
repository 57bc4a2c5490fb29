"""The names of metrics, tags and parameters in MLflow.

MLflow groups charts by the part of a metric's name before the slash: train, val (curves), best,
val_class_accuracy (one value a trial), cost. saved_view.py orders the groups. A metric without a
slash would get a section of its own.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.results import EpochMetrics, TrialResult
from harness.tracking.raw_types import DIGEST_TAG
from harness.tracking.types import TestReading


def curve_metrics(epoch: EpochMetrics) -> dict[str, float]:
    """Return an epoch's metrics: accuracies for classification, errors for regression."""
    metrics = {
        "train/loss": epoch.train_loss,
        "train/accuracy": epoch.train_accuracy,
        "train/penalty": epoch.penalty,
        "val/loss": epoch.val_loss,
        "val/accuracy": epoch.val_accuracy,
        "train/learning_rate": epoch.learning_rate,
        "cost/epoch_seconds": epoch.seconds,
        "train/rmse": epoch.train_rmse,
        "val/rmse": epoch.val_rmse,
        "val/mae": epoch.val_mae,
        "val/r2": epoch.val_r2,
    }
    return {name: value for name, value in metrics.items() if value is not None}


MAX_TAG_LENGTH = 8000
DEFINITION_TAG = "harness.definition"


def definition_tags(definition: Mapping[str, Any]) -> dict[str, str]:
    """Return a study's definition as JSON, split over as many tags as it needs."""
    text = json.dumps(definition)
    parts = [text[start : start + MAX_TAG_LENGTH] for start in range(0, len(text), MAX_TAG_LENGTH)]
    return {
        f"{DEFINITION_TAG}.{place}" if place else DEFINITION_TAG: p for place, p in enumerate(parts)
    }


def read_definition(tags: Mapping[str, str]) -> dict[str, Any]:
    """Read what `definition_tags` wrote."""
    parts, key = [], DEFINITION_TAG
    while key in tags:
        parts.append(tags[key])
        key = f"{DEFINITION_TAG}.{len(parts)}"
    definition: dict[str, Any] = json.loads("".join(parts))
    return definition


def digest_tags(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return tags with the SHA-256 of each file."""
    return {f"{DIGEST_TAG}{name}": hashlib.sha256(files[name]).hexdigest() for name in files}


def format_param(value: Any) -> str:
    """Format a parameter for people; the exact value is in `trial.json`."""
    if value is None:
        return "auto"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def escape_class_names(classes: Sequence[str]) -> list[str]:
    """Return unique metric name parts for class names.

    MLflow allows letters, digits, `_-./` and space, and no part like `..` that is a folder.
    """
    escaped: list[str] = []
    for name in classes:
        name_part = "".join(c if c.isalnum() or c in "_-. " else "_" for c in name)
        name_part = name_part if name_part.strip(". ") else "_" * len(name_part)
        while name_part in escaped:
            name_part += "_"
        escaped.append(name_part)
    return escaped


def class_metrics(prefix: str, classes: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """Return one metric for each class; a class without examples (NaN) has none."""
    return {
        f"{prefix}/{part}": value
        for part, value in zip(escape_class_names(classes), values, strict=True)
        if not math.isnan(value)
    }


def trial_metrics(result: TrialResult, classes: Sequence[str]) -> dict[str, float]:
    """Return a trial's metrics at its best epoch."""
    values = [value for value in result.class_accuracy if not math.isnan(value)]
    mean = {"best/val_class_mean": sum(values) / len(values)} if values else {}
    return class_metrics("val_class_accuracy", classes, result.class_accuracy) | {
        **result.best.best_metrics,
        **mean,
        "best/epoch": result.best.epoch,
        "cost/parameters": result.parameters,
        "cost/seconds": result.seconds,
    }


def reading_metrics(reading: TestReading, classes: Sequence[str]) -> dict[str, float]:
    """Return a trial's metrics on the test set."""
    metrics = {f"test/{name}": value for name, value in reading.figures.items()}
    return metrics | class_metrics("test_class_accuracy", classes, reading.class_accuracy)
