"""How values and metrics are called and shown in MLflow, whose charts group by the slash.

Groups: train, val (curves), best, val_class_accuracy (one value a trial), cost; view.py orders
them. A metric without a group would stand in a section of its own.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.results import EpochMetrics, TrialResult
from harness.tracking.raw_types import DIGEST
from harness.tracking.types import TestReading


def curves(epoch: EpochMetrics) -> dict[str, float]:
    """What was measured: accuracies where classes are told apart, else errors in units."""
    measured = {
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
    return {name: value for name, value in measured.items() if value is not None}


LONGEST_TAG = 8000
DEFINITION = "harness.definition"


def definition_tags(definition: Mapping[str, Any]) -> dict[str, str]:
    """A study's definition as JSON, in as many tags as it takes: a list of settings is long."""
    text = json.dumps(definition)
    parts = [text[start : start + LONGEST_TAG] for start in range(0, len(text), LONGEST_TAG)]
    return {f"{DEFINITION}.{place}" if place else DEFINITION: p for place, p in enumerate(parts)}


def read_definition(tags: Mapping[str, str]) -> dict[str, Any]:
    """What `definition_tags` wrote."""
    parts, key = [], DEFINITION
    while key in tags:
        parts.append(tags[key])
        key = f"{DEFINITION}.{len(parts)}"
    definition: dict[str, Any] = json.loads("".join(parts))
    return definition


def digest_tags(files: Mapping[str, bytes]) -> dict[str, str]:
    """The SHA-256 of each file by name, as tags of the run that keeps them."""
    return {f"{DIGEST}{name}": hashlib.sha256(files[name]).hexdigest() for name in files}


def shown(value: Any) -> str:
    """A param as a person would write it; the exact value is in `trial.json`."""
    if value is None:
        return "auto"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def metric_parts(classes: Sequence[str]) -> list[str]:
    """Class names as parts of metrics' names, each unlike the others.

    MLflow allows letters, digits and _-./ space, and nothing that is a folder as `..` is.
    """
    parts: list[str] = []
    for name in classes:
        part = "".join(c if c.isalnum() or c in "_-. " else "_" for c in name)
        part = part if part.strip(". ") else "_" * len(part)
        while part in parts:
            part += "_"
        parts.append(part)
    return parts


def by_class(prefix: str, classes: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """One metric for each class that has a value; a class without examples has none."""
    return {
        f"{prefix}/{part}": value
        for part, value in zip(metric_parts(classes), values, strict=True)
        if not math.isnan(value)
    }


def summary(result: TrialResult, classes: Sequence[str]) -> dict[str, float]:
    """A trial's metrics at its best epoch."""
    known = [value for value in result.class_accuracy if not math.isnan(value)]
    mean = {"best/val_class_mean": sum(known) / len(known)} if known else {}
    return by_class("val_class_accuracy", classes, result.class_accuracy) | {
        **result.best.best_figures,
        **mean,
        "best/epoch": result.best.epoch,
        "cost/parameters": result.parameters,
        "cost/seconds": result.seconds,
    }


def test_summary(reading: TestReading, classes: Sequence[str]) -> dict[str, float]:
    """What the test set showed of a trial."""
    figures = {f"test/{name}": value for name, value in reading.figures.items()}
    return figures | by_class("test_class_accuracy", classes, reading.class_accuracy)
