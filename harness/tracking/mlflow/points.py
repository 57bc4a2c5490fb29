"""Metrics as MLflow's points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlflow.entities import Metric, Run

from harness.results import EpochMetrics, TrialResult
from harness.tracking.mlflow.naming import curve_metrics, reading_metrics, trial_metrics
from harness.tracking.test_reading import TestReading


def curve_points(epochs: Sequence[EpochMetrics]) -> list[Metric]:
    """Return the points of all learning curves."""
    return [
        Metric(key, value, int(epoch.time * 1000), epoch.epoch)
        for epoch in epochs
        for key, value in curve_metrics(epoch).items()
    ]


def result_points(
    result: TrialResult, classes: Sequence[str], costs: Sequence[tuple[str, float]] = ()
) -> list[Metric]:
    """Return the points of a trial's result, at step 0.

    MLflow draws a single value at a later step as a line of one dot.
    """
    when = int(result.best.time * 1000)
    values = trial_metrics(result, classes, costs)
    return [Metric(key, value, when, 0) for key, value in values.items()]


def later_points(run: Run, values: Mapping[str, float], when: int) -> list[Metric]:
    """Return the points of values that replace older ones of the run, at the last step of each.

    MLflow shows the point with the highest step, then the latest time. A point after one of a clock
    that was set back gets a later time than `when`.
    """
    last_points = {point.key: point for point in run.data._metric_objs}
    points = []
    for key, value in values.items():
        last = last_points.get(key)
        is_hidden = last is not None and last.value != value and last.timestamp >= when
        time = last.timestamp + 1 if last and is_hidden else when
        points.append(Metric(key, value, time, last.step if last else 0))
    return points


def reading_points(
    reading: TestReading, classes: Sequence[str], step: int = 0, model: str | None = None
) -> list[Metric]:
    """Return the points of a test set result; `model` is a logged model that also shows them."""
    values, when = reading_metrics(reading, classes), int(reading.time * 1000)
    return [Metric(key, value, when, step, model_id=model) for key, value in values.items()]
