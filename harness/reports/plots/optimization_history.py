"""Optimisation history: every trial's objective in the order they were asked for."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from harness.metrics import get_sort_sign
from harness.reports.plots.scatter import (
    Point,
    add_points,
    by_objective,
    focus,
    hovered,
    title,
    trained,
)
from harness.reports.plots.style import INK, layout
from harness.results import Objective
from harness.tracking.types import StudyRun


@dataclass(frozen=True)
class History:
    points: tuple[Point, ...]
    """x is the trial's number, y the objective at its best epoch; best first."""
    best: tuple[tuple[int, float], ...]
    """(trial, objective) of every complete trial that was better than all before; then the last
    trial of all with the same objective, to which the line goes on."""
    objective: Objective
    range: tuple[float, float]
    """Of the objective, as shown: bad trials lie outside."""
    outside: int
    """Trials that do."""


def data(study: StudyRun) -> History:
    objective = study.objective
    points = [
        Point(run.number, run.number, value, complete=run.state == "COMPLETE")
        for run, value in trained(study)
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
    low, high = focus(complete, pruned, objective)
    outside = sum(not low <= point.y <= high for point in points)
    ranked = by_objective(points, objective)
    return History(tuple(ranked), tuple(best), objective, (low, high), outside)


def figure(history: History) -> go.Figure:
    made = go.Figure()
    made.add_trace(
        go.Scatter(
            x=[number for number, _ in history.best],
            y=[value for _, value in history.best],
            mode="lines",
            line={"color": INK, "width": 2, "shape": "hv"},
            name="best so far",
            hoverinfo="skip",
        )
    )
    add_points(made, history.points, hovered(history.objective))
    layout(
        made,
        340,
        margin={"l": 52, "r": 12, "t": 30, "b": 40},
        showlegend=True,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )
    last = max((point.number for point in history.points), default=0)
    margin = 0.5 + 0.02 * last
    made.update_xaxes(title_text="trial", range=[-margin, last + margin])
    made.update_yaxes(title_text=title(history.objective), range=list(history.range))
    return made
