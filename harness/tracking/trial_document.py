"""`trial.json`: the exact settings and all learning curves of a trial in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.results import EpochMetrics, TrialResult
from harness.tracking.test_reading import parse_interval
from harness.trial import TrialSpec


def build_trial_document(
    spec: TrialSpec, epochs: Sequence[EpochMetrics], worker: str, result: TrialResult | None
) -> dict[str, Any]:
    """Return the content of `trial.json`, whose epochs are stored as columns.

    One file a trial is read much faster than one curve at a time.
    """
    columns = {
        name: [getattr(metrics, name) for metrics in epochs]
        for name in EpochMetrics.__dataclass_fields__
    }
    document: dict[str, Any] = {
        "spec": spec.to_dict(),
        "worker": worker,
        "epochs": {
            name: column
            for name, column in columns.items()
            if any(value is not None for value in column)
        },
    }
    if result is not None:
        document |= {
            "best_epoch": result.best.epoch,
            "stopped": result.stopped,
            "parameters": result.parameters,
            "seconds": result.seconds,
            "confusion": result.confusion,
        }
        optional = {
            "interval": result.interval,
            "mae_interval": result.mae_interval,
            "score_metric": result.score_metric,
            "score_interval": result.score_interval,
            "best": {
                name: value
                for name, value in result.best.to_dict().items()
                if name not in document["epochs"]
            },
        }
        document |= {key: value for key, value in optional.items() if value}
    return document


def parse_trial_document(document: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a RunRecord that `trial.json` holds."""
    columns = document["epochs"]
    epochs = tuple(
        EpochMetrics(**dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    )
    best = [
        replace(metrics, **document.get("best", {}))
        for metrics in epochs
        if metrics.epoch == document.get("best_epoch")
    ]
    return {
        "worker": document["worker"],
        "epochs": epochs,
        "best": best[0] if best else None,
        "parameters": document.get("parameters", 0),
        "confusion": tuple(tuple(row) for row in document.get("confusion", ())),
        "interval": parse_interval(document.get("interval")),
        "mae_interval": parse_interval(document.get("mae_interval")),
        "score_metric": document.get("score_metric"),
        "score_interval": parse_interval(document.get("score_interval")),
    }
