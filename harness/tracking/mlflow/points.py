"""What is measured, as MLflow's points, and how many of them go in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlflow.entities import Metric

from harness.results import EpochMetrics, TrialResult
from harness.tracking.mlflow.naming import curves, summary, test_summary
from harness.tracking.types import TestReading

MOST_METRICS = 1000
"""In one log_batch: MLflow's limit."""


def of_curves(epochs: Sequence[EpochMetrics]) -> Iterator[list[Metric]]:
    """Every curve's points, in as many calls as they take."""
    points = [
        Metric(key, value, int(epoch.time * 1000), epoch.epoch)
        for epoch in epochs
        for key, value in curves(epoch).items()
    ]
    for start in range(0, len(points), MOST_METRICS):
        yield points[start : start + MOST_METRICS]


def of_result(result: TrialResult, classes: Sequence[str]) -> list[Metric]:
    """Step 0, whatever the epoch: MLflow draws one value at a later step as a line of one dot."""
    when = int(result.best.time * 1000)
    return [Metric(key, value, when, 0) for key, value in summary(result, classes).items()]


def of_reading(
    reading: TestReading, classes: Sequence[str], step: int = 0, model: str | None = None
) -> list[Metric]:
    """`model` is the id of the logged model that they are shown with too."""
    values, when = test_summary(reading, classes), int(reading.time * 1000)
    return [Metric(key, value, when, step, model_id=model) for key, value in values.items()]
