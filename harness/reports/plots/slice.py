"""One small plot per varied setting: the objective by its value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.reports.parameter_axes import ParameterAxis, build_parameter_axes
from harness.reports.plots.base import Plot
from harness.reports.plots.scatter import (
    Point,
    add_points,
    compute_axis_range,
    format_objective_hover,
    get_objective_axis,
    list_measured_trials,
    sort_by_objective,
)
from harness.reports.plots.style import apply_layout, escape_label
from harness.results import Objective
from harness.tracking.types import StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


@dataclass(frozen=True)
class Slice:
    """One setting, and all complete and pruned trials, best first."""

    axis: ParameterAxis
    points: tuple[Point, ...]
    objective: Objective
    range: tuple[float, float]
    """The y axis; bad trials are outside."""


def build_plots(summary: Summary) -> list[Plot]:
    """Return one plot per setting."""
    return build_slice_plots(compute_slices(summary.study))


def compute_slices(study: StudyRun) -> tuple[Slice, ...]:
    """Return one slice per setting; none if no trial has an objective."""
    pairs = list_measured_trials(study)
    if not pairs:
        return ()
    complete = [value for run, value in pairs if run.state == "COMPLETE"]
    pruned = [value for run, value in pairs if run.state == "PRUNED"]
    y_range = compute_axis_range(complete, pruned, study.objective)
    slices = []
    for axis in build_parameter_axes(study):
        points = [
            Point(
                run.number,
                round(axis.draw_position(run.number), 4),
                value,
                f"{axis.name} {axis.texts[run.number]}",
                run.state == "COMPLETE",
            )
            for run, value in pairs
            if run.number in axis.positions
        ]
        ranked = sort_by_objective(points, study.objective)
        slices.append(Slice(axis, tuple(ranked), study.objective, y_range))
    return tuple(slices)


def build_slice_plots(slices: tuple[Slice, ...]) -> list[Plot]:
    return [
        Plot(_format_plot_name(each.axis.name), each.axis.name, _draw_slice(each))
        for each in slices
    ]


def _draw_slice(data: Slice) -> go.Figure:
    figure = go.Figure()
    axis = data.axis
    add_points(
        figure,
        data.points,
        f"%{{text}}<br>{format_objective_hover(data.objective)}",
    )
    figure.update_layout(meta={**(figure.layout.meta or {}), "spread": True})
    apply_layout(figure, 240, margin={"l": 52, "r": 12, "t": 8, "b": 40})
    margin = 0.0 if axis.spacing else 0.04 * (axis.high - axis.low)
    figure.update_xaxes(
        title_text=escape_label(axis.name),
        tickvals=[position for position, _ in axis.ticks],
        ticktext=[escape_label(text, 16) for _, text in axis.ticks],
        range=[axis.low - margin, axis.high + margin],
    )
    figure.update_yaxes(range=list(data.range), nticks=6, **get_objective_axis(data.objective))
    return figure


def _format_plot_name(name: str) -> str:
    return "slice-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
