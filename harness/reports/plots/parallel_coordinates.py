"""Parallel coordinates: each trial is a line across all varied settings to its objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from harness.metrics import format_objective, get_sort_sign
from harness.reports.parameter_axes import ParameterAxis, build_parameter_axes
from harness.reports.plots.base import Plot
from harness.reports.plots.scatter import compute_axis_range, list_measured_trials, select_drawn
from harness.reports.plots.style import FAINT, NEUTRAL, apply_layout, escape_label
from harness.tracking.types import StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

MAX_DRAWN = 300
BEST_DRAWN = 10
"""The best trials among those drawn; more strong lines would cover the others."""
BINS = (
    (0.05, 1.0, 2.2),
    (0.15, 0.75, 1.5),
    (0.3, 0.5, 1.2),
    (0.5, 0.36, 1.0),
    (0.75, 0.26, 1.0),
    (1.0, 0.18, 1.0),
)
"""(quantile of the objective from the best, opacity, width in px) of unselected lines."""
MAX_LETTERS = 8
"""Of a value's name on its axis."""
CHIP = {"bgcolor": "rgba(100, 108, 118, 0.85)", "font": {"size": 10, "color": "#ffffff"}}
"""The style of a value's name, which lies over the lines and needs a background."""


@dataclass(frozen=True)
class Axis:
    name: str
    end_labels: tuple[str, str]
    """The texts below and above the axis."""
    choices: tuple[tuple[float, str], ...]
    """(height in [0, 1], name) of each value, if the values are few."""


@dataclass(frozen=True)
class Line:
    """One trial: its height in [0, 1] on every axis, and its value there as text."""

    number: int
    heights: tuple[float, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class ParallelCoordinates:
    """The axes of the settings and, last, of the objective; `lines` best first.

    Empty if no trial has an objective or nothing was varied.
    """

    axes: tuple[Axis, ...] = ()
    lines: tuple[Line, ...] = ()


def build_plots(summary: Summary) -> list[Plot]:
    """Return the plot of a study that varies a setting."""
    data = compute_parallel_coordinates(summary.study)
    if not data.axes:
        return []
    figure = draw_parallel_coordinates(data)
    return [Plot("parallel", "All settings at once", figure, wide=True)]


def compute_parallel_coordinates(study: StudyRun) -> ParallelCoordinates:
    """Return the lines of complete and pruned trials; bad objectives are clipped to the axis."""
    sign = get_sort_sign(study.objective)
    pairs = sorted(list_measured_trials(study), key=lambda pair: (sign * pair[1], pair[0].number))
    parameters = build_parameter_axes(study)
    if not pairs or not parameters:
        return ParallelCoordinates()
    complete = [value for run, value in pairs if run.state == "COMPLETE"]
    pruned = [value for run, value in pairs if run.state == "PRUNED"]
    low, high = compute_axis_range(complete, pruned, study.objective)
    axes = [Axis(each.name, each.end_labels, _list_choices(each)) for each in parameters]
    values = [value for _, value in pairs]
    texts = [f"{end:.3g}" if end < 1000 else f"{end:,.0f}" for end in (low, high)]
    ends = (
        f"{'≤ ' if min(values) < low else ''}{texts[0]}",
        f"{'≥ ' if max(values) > high else ''}{texts[1]}",
    )
    axes.append(Axis(study.objective.replace("/", " "), ends, ()))
    lines = []
    for run, value in pairs:
        if any(run.number not in each.positions for each in parameters):
            continue
        heights = [round(each.fraction(each.draw_position(run.number)), 4) for each in parameters]
        heights.append(round(min(1.0, max(0.0, (value - low) / (high - low))), 4))
        texts = [
            *(each.texts[run.number] for each in parameters),
            format_objective(value, study.objective),
        ]
        lines.append(Line(run.number, tuple(heights), tuple(texts)))
    return ParallelCoordinates(tuple(axes), tuple(lines))


def draw_parallel_coordinates(data: ParallelCoordinates) -> go.Figure:
    figure = go.Figure()
    visible, hidden = select_drawn(data.lines, MAX_DRAWN, BEST_DRAWN)
    bins = _split_by_quantile(data.lines)
    numbers = {line.number for line in visible}
    for lines, (_, opacity, width) in zip(bins[::-1], BINS[::-1], strict=True):
        bin_lines = [line for line in lines if line.number in numbers]
        figure.add_trace(
            go.Scatter(
                **_build_columns(bin_lines),
                mode="lines",
                line={"color": NEUTRAL, "width": width},
                opacity=opacity,
                hovertemplate="trial %{customdata}: %{text}<extra></extra>",
            )
        )
    meta: dict[str, Any] = {"brush": len(data.axes)}
    if hidden:
        meta["hidden"] = [{"trace": 0, **_build_columns(hidden)}]
    last = max(1, len(data.axes) - 1)
    apply_layout(
        figure,
        380,
        margin={"l": 30, "r": 30, "t": 30, "b": 8},
        meta=meta,
        shapes=[_build_axis_line(index) for index in range(len(data.axes))],
        annotations=[
            annotation
            for index, axis in enumerate(data.axes)
            for annotation in _build_annotations(index, axis)
        ],
    )
    figure.update_xaxes(
        side="top",
        tickvals=list(range(len(data.axes))),
        ticktext=[escape_label(axis.name, 24) for axis in data.axes],
        autotickangles=[0, -60],
        ticklabeloverflow="allow",
        range=[-0.02 * last, 1.02 * last],
        showgrid=False,
        fixedrange=True,
    )
    figure.update_yaxes(visible=False, range=[-0.09, 1.09], fixedrange=True)
    return figure


def _list_choices(axis: ParameterAxis) -> tuple[tuple[float, str], ...]:
    if not axis.spacing:
        return ()
    return tuple((axis.fraction(position), text) for position, text in axis.ticks)


def _split_by_quantile(lines: Sequence[Line]) -> list[list[Line]]:
    """Split lines, ranked best first, by the quantiles of BINS; the best bin is never empty."""
    edges = [0, *(max(1, round(share * len(lines))) for share, _, _ in BINS)]
    return [list(lines[low:high]) for low, high in pairwise(edges)]


def _build_columns(lines: Sequence[Line]) -> dict[str, list[Any]]:
    """Return lines as the columns of one trace, with gaps between them."""
    x: list[int | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    texts: list[str | None] = []
    for line in lines:
        x += [*range(len(line.heights)), None]
        y += [*line.heights, None]
        numbers += [*[line.number] * len(line.heights), None]
        texts += [*map(escape_label, line.texts), None]
    return {"x": x, "y": y, "customdata": numbers, "text": texts}


def _build_axis_line(index: int) -> dict[str, Any]:
    line = {"color": FAINT, "width": 1}
    ends = {"x0": index, "x1": index, "y0": 0, "y1": 1}
    return {"type": "line", "layer": "below", "line": line, **ends}


def _build_annotations(index: int, axis: Axis) -> list[dict[str, Any]]:
    low, high = axis.end_labels
    below = {"y": 0, "text": escape_label(low, MAX_LETTERS), "yanchor": "top"}
    above = {"y": 1, "text": escape_label(high, MAX_LETTERS), "yanchor": "bottom"}
    choices = [
        {"y": height, "text": escape_label(text, MAX_LETTERS), **CHIP}
        for height, text in axis.choices
    ]
    placed = choices or [below, above]
    return [{"x": index, "showarrow": False, "font": {"size": 10}, **place} for place in placed]
