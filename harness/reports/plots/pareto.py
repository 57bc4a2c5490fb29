"""What a better score costs: against the number of parameters, and against the training time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from harness.metrics import ACCURACY, Score
from harness.reports.parameter_axes import log_ticks
from harness.reports.plots.scatter import Point, add_points, by_objective, focus
from harness.reports.plots.style import INK, Plot, layout
from harness.tracking.types import RunRecord, StudyRun


@dataclass(frozen=True)
class Tradeoff:
    """Complete trials: x what they cost, y their validation score at the best epoch."""

    points: tuple[Point, ...]
    """Best first."""
    front: tuple[Point, ...]
    """The Pareto front, cheapest first: no other trial is as good and as cheap."""
    score: Score = ACCURACY


@dataclass(frozen=True)
class Tradeoffs:
    parameters: Tradeoff
    """Trials whose number of parameters is not on record are left out."""
    seconds: Tradeoff
    """Of training and validation, over all epochs."""


def data(study: StudyRun) -> Tradeoffs:
    complete = [run for run in study.trials if run.state == "COMPLETE" and run.best]
    return Tradeoffs(
        _tradeoff(study.score, ((run, float(run.parameters)) for run in complete)),
        _tradeoff(
            study.score, ((run, sum(epoch.seconds for epoch in run.epochs)) for run in complete)
        ),
    )


def plots(tradeoffs: Tradeoffs) -> list[Plot]:
    """Those that have a trial."""
    name = tradeoffs.parameters.score.name
    shown = f"{name[0].upper()}{name[1:]}"
    both = (
        ("accuracy-parameters", f"{shown} and size", "parameters", ",.0f", tradeoffs.parameters),
        ("accuracy-seconds", f"{shown} and time", "training seconds", ".3~g", tradeoffs.seconds),
    )
    return [
        Plot(name, title, _figure(tradeoff, cost, form))
        for name, title, cost, form, tradeoff in both
        if tradeoff.points
    ]


def _tradeoff(score: Score, costs: Iterable[tuple[RunRecord, float]]) -> Tradeoff:
    points = [
        Point(run.number, cost, run.best.score, run.spec.describe())
        for run, cost in costs
        if run.best and cost > 0
    ]
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, score.sign * point.y, point.number)):
        if not front or score.sign * point.y < score.sign * front[-1].y:
            front.append(point)
    return Tradeoff(tuple(by_objective(points, score.metric)), tuple(front), score)


def _figure(tradeoff: Tradeoff, cost: str, form: str) -> go.Figure:
    made, score = go.Figure(), tradeoff.score
    front = tradeoff.front
    dearest = max(point.x for point in tradeoff.points)
    made.add_trace(
        go.Scatter(
            x=[*(point.x for point in front), dearest],
            y=[*(point.y for point in front), front[-1].y],
            mode="lines",
            line={"color": INK, "width": 1.5, "shape": "hv"},
            name="Pareto front",
            hoverinfo="skip",
        )
    )
    add_points(
        made,
        tradeoff.points,
        f"%{{text}}<br>{score.name} %{{y:{score.plotly_hover}}}<br>%{{x:{form}}} {cost}",
        always={point.number for point in front},
    )
    layout(
        made,
        320,
        margin={"l": 52, "r": 12, "t": 30, "b": 40},
        showlegend=True,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )
    shown = focus([point.y for point in tradeoff.points], [], score.metric)
    cheapest = min(point.x for point in tradeoff.points)
    ticks = log_ticks(math.log10(cheapest) - 0.1, math.log10(dearest) + 0.1)
    made.update_xaxes(
        type="log",
        title_text=cost,
        tickvals=[10**position for position, _ in ticks],
        ticktext=[_prefixed(10**position) for position, _ in ticks],
    )
    made.update_yaxes(title_text=f"validation {score.full_name}", range=list(shown))
    return made


def _prefixed(value: float) -> str:
    """`200`, `20k`, `2M`."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 0.999 * size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
