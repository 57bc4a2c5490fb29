"""The names of metrics, tags and parameters in MLflow.

MLflow groups charts by the part of a metric's name before the slash: train, val (curves), best,
val_class_accuracy (one value a trial), cost. saved_view.py orders the groups. A metric without a
slash would get a section of its own.
"""

from __future__ import annotations

import hashlib
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from harness.metrics import CLASS_FIELDS
from harness.results import MAX_FOLDS, EpochMetrics, TrialResult
from harness.tracking.raw_types import DIGEST_TAG
from harness.tracking.test_reading import TestReading

FOLD_METRICS = tuple(f"folds/{number}" for number in range(1, MAX_FOLDS + 1))
"""The objective in each fold of a cross-validation, after each epoch."""
FOLD_DEVIATION = "folds/deviation"
"""The standard deviation of the objective over the folds, at the best epoch."""


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
        "val/quantile_loss": epoch.val_quantile_loss,
        **{field.replace("_", "/", 1): getattr(epoch, field) for field in CLASS_FIELDS},
    }
    if isinstance(epoch.folds, tuple):
        metrics |= dict(zip(FOLD_METRICS, epoch.folds, strict=False))
    return {name: value for name, value in metrics.items() if value is not None}


MAX_TAG_LENGTH = 8000
"""MLflow cuts a longer value of a run's tag, so it is split over several tags."""
MAX_PARAM_LENGTH = 5000
MAX_DESCRIPTION_LENGTH = 5000
MAX_RUN_NAME_LENGTH = 240
"""MLflow's limit is 250; the champion's name gets a star in front."""
MAX_CLASS_PART_LENGTH = 200
"""MLflow's limit for the name of a metric is 250."""
NOTE = "mlflow.note.content"
"""MLflow shows this tag as markdown."""
CLASSES_TAG, DEFINITION_TAG = "harness.classes", "harness.definition"


def split_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Split long values over several tags: `harness.spec`, `harness.spec.1` and so on."""
    return {
        f"{key}.{place}" if place else key: value[start : start + MAX_TAG_LENGTH]
        for key, value in tags.items()
        for place, start in enumerate(range(0, len(value) or 1, MAX_TAG_LENGTH))
    }


def join_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Join what `split_tags` split. Tags of older records that exceed the limit are kept."""
    joined, parts = dict(tags), set[str]()
    for key in tags:
        place = 1
        while not key.startswith(DIGEST_TAG) and (part := f"{key}.{place}") in tags:
            joined[key] += tags[part]
            parts.add(part)
            place += 1
    return {key: value for key, value in joined.items() if key not in parts}


def list_stale_parts(tags: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return the tags of a run that are parts of longer values, which `new` replaces."""
    now = split_tags(new)
    parts = {key: re.fullmatch(r"(.+)\.\d+", key) for key in tags if key not in now}
    return [key for key, match in parts.items() if match and match[1] in new]


def shorten(text: str, length: int) -> str:
    """Cut a text that only people read to a length, with an ellipsis at its end."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def digest_tags(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return tags with the SHA-256 of each file."""
    return {f"{DIGEST_TAG}{name}": hashlib.sha256(files[name]).hexdigest() for name in files}


def format_param(value: Any) -> str:
    """Format a parameter for people; the exact value is in `trial.json`."""
    if value is None:
        return "auto"
    if isinstance(value, float):
        return f"{value:.4g}"
    return shorten(str(value), MAX_PARAM_LENGTH)


def escape_class_names(classes: Sequence[str]) -> list[str]:
    """Return unique metric name parts for class names.

    MLflow allows letters, digits, `_-./` and space, and no part like `..` that is a folder. Long
    names are cut, and end with a part of their SHA-256.
    """
    escaped: dict[str, None] = {}
    for name in classes:
        name_part = "".join(c if c.isalnum() or c in "_-. " else "_" for c in name)
        name_part = name_part if name_part.strip(". ") else "_" * len(name_part)
        if len(name_part) > MAX_CLASS_PART_LENGTH:
            digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:12]
            name_part = f"{name_part[:MAX_CLASS_PART_LENGTH]}-{digest}"
        while name_part in escaped:
            name_part += "_"
        escaped[name_part] = None
    return list(escaped)


def class_metrics(prefix: str, classes: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """Return one metric for each class; a class without examples (NaN) has none."""
    return {
        f"{prefix}/{part}": value
        for part, value in zip(escape_class_names(classes), values, strict=True)
        if not math.isnan(value)
    }


def trial_metrics(
    result: TrialResult, classes: Sequence[str], costs: Sequence[tuple[str, float]] = ()
) -> dict[str, float]:
    """Return a trial's metrics at its best epoch, with its `Trial.costs`."""
    values = [value for value in result.class_accuracy if not math.isnan(value)]
    mean = {"best/val_class_mean": sum(values) / len(values)} if values else {}
    if result.best.folds:
        mean[FOLD_DEVIATION] = statistics.stdev(result.best.folds)
    return class_metrics("val_class_accuracy", classes, result.class_accuracy) | {
        **result.best.best_metrics,
        **mean,
        "best/epoch": result.best.epoch,
        "cost/parameters": result.parameters,
        "cost/seconds": result.seconds,
        **{f"cost/{name}": value for name, value in costs},
    }


def reading_metrics(reading: TestReading, classes: Sequence[str]) -> dict[str, float]:
    """Return a trial's metrics on the test set."""
    metrics = {f"test/{name}": value for name, value in reading.figures.items()}
    return metrics | class_metrics("test_class_accuracy", classes, reading.class_accuracy)
