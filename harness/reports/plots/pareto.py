"""Trade-offs: the score by number of parameters and by training time, with the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.metrics import ACCURACY, Score
from harness.reports.parameter_axes import compute_log_ticks
from harness.reports.plots.base import Plot
from harness.reports.plots.scatter import (
    Point,
    add_points,
    compute_axis_range,
    sort_by_objective,
    spread_same_points,
)
from harness.reports.plots.style import INK, LEGEND_ABOVE, PERCENT, apply_layout
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


@dataclass(frozen=True)
class Tradeoff:
    """Complete trials: x is the cost, y the validation score at the best epoch."""

    points: tuple[Point, ...]
    """Best first."""
    front: tuple[Point, ...]
    """The Pareto front, cheapest first: no cheaper trial is as good."""
    score: Score = ACCURACY


@dataclass(frozen=True)
class Tradeoffs:
    parameters: Tradeoff
    """Without trials whose number of parameters was not recorded."""
    seconds: Tradeoff
    """Training and validation over all epochs."""


def build_plots(summary: Summary) -> list[Plot]:
    """Return both trade-offs; without size, if that is an objective, which has its own plot."""
    plots = build_tradeoff_plots(compute_tradeoffs(summary.study))
    has_own = "parameters" in summary.study.objectives
    return [plot for plot in plots if not (has_own and plot.name == "accuracy-parameters")]


def compute_tradeoffs(study: StudyRun) -> Tradeoffs:
    complete = [run for run in study.trials if run.state == "COMPLETE" and run.best]
    return Tradeoffs(
        _compute_tradeoff(study.score, ((run, float(run.parameters)) for run in complete)),
        _compute_tradeoff(
            study.score, ((run, sum(epoch.seconds for epoch in run.epochs)) for run in complete)
        ),
    )


def build_tradeoff_plots(tradeoffs: Tradeoffs) -> list[Plot]:
    """Return the plots of the trade-offs that have a trial."""
    name = tradeoffs.parameters.score.name
    name = f"{name[0].upper()}{name[1:]}"
    kinds = (
        ("accuracy-parameters", f"{name} and size", "parameters", tradeoffs.parameters),
        ("accuracy-seconds", f"{name} and time", "training seconds", tradeoffs.seconds),
    )
    return [
        Plot(name, title, _draw_tradeoff(tradeoff, cost))
        for name, title, cost, tradeoff in kinds
        if tradeoff.points
    ]


def _compute_tradeoff(score: Score, costs: Iterable[tuple[RunRecord, float]]) -> Tradeoff:
    points = [
        Point(run.number, cost, run.score, run.spec.describe())
        for run, cost in costs
        if run.best and cost > 0
    ]
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, score.sign * point.y, point.number)):
        if not front or score.sign * point.y < score.sign * front[-1].y:
            front.append(point)
    return Tradeoff(tuple(sort_by_objective(points, score.metric)), tuple(front), score)


def _draw_tradeoff(tradeoff: Tradeoff, cost: str) -> go.Figure:
    figure, score = go.Figure(), tradeoff.score
    front = tradeoff.front
    most_expensive = max(point.x for point in tradeoff.points)
    figure.add_trace(
        go.Scatter(
            x=[*(point.x for point in front), most_expensive],
            y=[*(point.y for point in front), front[-1].y],
            mode="lines",
            line={"color": INK, "width": 1.5, "shape": "hv"},
            name="Pareto front",
            hoverinfo="skip",
        )
    )
    named = [
        replace(point, text=f"{point.text}, {_format_cost(point.x)} {cost}")
        for point in tradeoff.points
    ]
    add_points(
        figure,
        spread_same_points(named),
        f"%{{text}}<br>{score.name} %{{y:{score.plotly_hover}}}",
        always={point.number for point in front},
    )
    figure.update_layout(meta={**(figure.layout.meta or {}), "spread": True})
    apply_layout(
        figure,
        320,
        margin={"l": 52, "r": 12, "t": 30, "b": 40},
        showlegend=True,
        legend=LEGEND_ABOVE,
    )
    y_range = compute_axis_range([point.y for point in tradeoff.points], [], score.metric)
    cheapest = min(point.x for point in tradeoff.points)
    ticks = compute_log_ticks(math.log10(cheapest) - 0.1, math.log10(most_expensive) + 0.1)
    figure.update_xaxes(
        type="log",
        title_text=cost,
        tickvals=[10**position for position, _ in ticks],
        ticktext=[format_count(10**position) for position, _ in ticks],
    )
    figure.update_yaxes(
        title_text=f"validation {score.full_name}",
        range=list(y_range),
        tickformat=PERCENT if score.is_accuracy else None,
    )
    return figure


def _format_cost(value: float) -> str:
    """`31,436`, or `0.0213` for less than 100."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def format_count(value: float) -> str:
    """Format a count: `200`, `20k`, `2M`."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 0.999 * size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
