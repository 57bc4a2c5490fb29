"""Optimization history: every trial's objective by trial number, and the best so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.analysis.formatting import format_count
from harness.metrics import OBJECTIVE_NAMES, get_sort_sign
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
from harness.reports.plots.style import INK, LEGEND_ABOVE, apply_layout
from harness.results import Objective
from harness.tracking.types import StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


@dataclass(frozen=True)
class History:
    points: tuple[Point, ...]
    """x is the trial's number, y the objective at its best epoch; the best trial first."""
    best: tuple[tuple[int, float], ...]
    """(trial, objective) of every complete trial that was better than all before it; at the end the
    number of the last trial, with the best objective."""
    objective: Objective
    range: tuple[float, float]
    """The y axis; bad trials are outside."""
    outside: int
    """Trials outside the y axis."""


def build_plots(summary: Summary) -> list[Plot]:
    """Return the history of a search; the order of a grid or list means nothing."""
    if summary.study.is_grid_or_list:
        return []
    history, note = compute_history(summary.study), ""
    if history.outside:
        note = (
            f"{history.outside} of {format_count(len(history.points), 'trial')} "
            f"{'is' if history.outside == 1 else 'are'} outside the axis of "
            f"{OBJECTIVE_NAMES[history.objective]}; double-click the plot to show them."
        )
    return [Plot("history", "The best so far", draw_history(history), wide=True, note=note)]


def compute_history(study: StudyRun) -> History:
    objective = study.objective
    points = [
        Point(run.number, run.number, value, complete=run.state == "COMPLETE")
        for run, value in list_measured_trials(study)
    ]
    sign = get_sort_sign(objective)
    best: list[tuple[int, float]] = []
    for point in sorted(points, key=lambda point: point.number):
        if point.complete and (not best or sign * point.y < sign * best[-1][1]):
            best.append((point.number, point.y))
    last = max((point.number for point in points), default=0)
    if best and best[-1][0] < last:
        best.append((last, best[-1][1]))
    complete = [point.y for point in points if point.complete]
    pruned = [point.y for point in points if not point.complete]
    low, high = compute_axis_range(complete, pruned, objective)
    outside = sum(not low <= point.y <= high for point in points)
    ranked = sort_by_objective(points, objective)
    return History(tuple(ranked), tuple(best), objective, (low, high), outside)


def draw_history(history: History) -> go.Figure:
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[number for number, _ in history.best],
            y=[value for _, value in history.best],
            mode="lines",
            line={"color": INK, "width": 2, "shape": "hv"},
            name="best so far",
            hoverinfo="skip",
        )
    )
    add_points(figure, history.points, format_objective_hover(history.objective))
    apply_layout(
        figure,
        340,
        margin={"l": 52, "r": 12, "t": 30, "b": 40},
        showlegend=True,
        legend=LEGEND_ABOVE,
    )
    last = max((point.number for point in history.points), default=0)
    margin = 0.5 + 0.02 * last
    figure.update_xaxes(title_text="trial", range=[-margin, last + margin])
    figure.update_yaxes(range=list(history.range), **get_objective_axis(history.objective))
    return figure
