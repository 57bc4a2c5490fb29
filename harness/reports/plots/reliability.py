"""The reliability diagram: the share of right predictions by their probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.analysis.calibration_record import read_test_scores
from harness.reports.plots.base import Plot
from harness.reports.plots.style import (
    ACCENT,
    COLOURS,
    INK,
    LEGEND_ABOVE,
    NEUTRAL,
    apply_layout,
    build_error_bars,
    escape_label,
)
from harness.stats.calibration import CalibrationScores
from harness.stats.proportions import compute_interval

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

STYLES = ((NEUTRAL, "circle"), (COLOURS[1], "square"), (ACCENT, "diamond"))
LEAST_SIZE, MOST_SIZE = 5, 14
"""Pixels of a bin's marker, by the share of examples."""


@dataclass(frozen=True)
class Point:
    """A bin with examples."""

    probability: float
    accuracy: float
    low: float
    high: float
    """The 95 % interval of the accuracy."""
    examples: int


def build_plots(summary: Summary) -> list[Plot]:
    """Return the diagram; none if the calibration was not measured."""
    series = [(name, compute_points(scores)) for name, scores in list_series(summary)]
    title = "Right predictions by their probability"
    return [Plot("reliability", title, draw_points(series))] if series else []


def list_series(summary: Summary) -> list[tuple[str, CalibrationScores]]:
    """Return what was measured of the model, by the name of the examples."""
    record, is_calibrated = summary.calibration, summary.study.is_calibrated
    if record is None:
        return []
    series = [("validation", record.plain)]
    if is_calibrated:
        series = [("validation, not scaled", record.plain), ("validation, scaled", record.scaled)]
    tested = read_test_scores(summary.reading, is_calibrated)
    return series + ([(summary.study.test_name, tested)] if tested else [])


def compute_points(scores: CalibrationScores) -> list[Point]:
    """Return a point for each bin that has examples."""
    return [
        Point(
            each.probability,
            each.accuracy,
            *compute_interval(round(each.accuracy * each.examples), each.examples),
            each.examples,
        )
        for each in scores.bins
        if each.examples
    ]


def draw_points(series: Sequence[tuple[str, list[Point]]]) -> go.Figure:
    """Draw the bins of each set of examples; on the line a model is calibrated."""
    figure = go.Figure(
        go.Scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            line={"color": INK, "width": 1.5, "dash": "dot"},
            name="calibrated",
            hoverinfo="skip",
        )
    )
    styles = STYLES if len(series) > 2 else (STYLES[0], STYLES[2])
    for (name, points), (colour, symbol) in zip(series, styles, strict=False):
        total = sum(each.examples for each in points)
        figure.add_trace(
            go.Scatter(
                x=[each.probability for each in points],
                y=[each.accuracy for each in points],
                text=[
                    f"{each.examples:,} with a mean probability of {each.probability:.3f}: "
                    f"{each.accuracy:.1%} right ({each.low:.1%} to {each.high:.1%})"
                    for each in points
                ],
                error_y=build_error_bars(
                    [each.accuracy for each in points],
                    [each.low for each in points],
                    [each.high for each in points],
                ),
                mode="markers",
                name=escape_label(name),
                marker={
                    "color": colour,
                    "symbol": symbol,
                    "size": [
                        LEAST_SIZE + (MOST_SIZE - LEAST_SIZE) * (each.examples / total) ** 0.5
                        for each in points
                    ],
                },
                hovertemplate=f"{escape_label(name)}<br>%{{text}}<extra></extra>",
            )
        )
    apply_layout(figure, 420, showlegend=True, legend=LEGEND_ABOVE, margin={"t": 34})
    low = min((each.probability for _, points in series for each in points), default=0.0)
    figure.update_xaxes(
        title_text="probability of the predicted class", range=[max(0.0, low - 0.05), 1.02]
    )
    return figure.update_yaxes(
        title_text="share of right predictions, 95 % interval", tickformat=".0%"
    )
