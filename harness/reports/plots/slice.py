"""One small plot for each sampled setting: its value against the objective."""

from __future__ import annotations

import re
from dataclasses import dataclass

import plotly.graph_objects as go

from harness.reports.parameter_axes import Factor, factors
from harness.reports.plots.scatter import (
    Point,
    add_points,
    by_objective,
    focus,
    hovered,
    title,
    trained,
)
from harness.reports.plots.style import Plot, label, layout
from harness.results import Objective
from harness.tracking.types import StudyRun


@dataclass(frozen=True)
class Slice:
    """One setting and all complete and pruned trials, best first."""

    factor: Factor
    points: tuple[Point, ...]
    objective: Objective
    range: tuple[float, float]
    """Of the objective, as shown: bad trials lie outside."""


def data(study: StudyRun) -> tuple[Slice, ...]:
    """Empty where no trial has an objective; failed trials have none to show."""
    pairs = trained(study)
    if not pairs:
        return ()
    complete = [value for run, value in pairs if run.state == "COMPLETE"]
    pruned = [value for run, value in pairs if run.state == "PRUNED"]
    shown = focus(complete, pruned, study.objective)
    found = []
    for factor in factors(study):
        points = [
            Point(
                run.number,
                round(factor.drawn(run.number), 4),
                value,
                f"{factor.name} {factor.shown[run.number]}",
                run.state == "COMPLETE",
            )
            for run, value in pairs
            if run.number in factor.positions
        ]
        ranked = by_objective(points, study.objective)
        found.append(Slice(factor, tuple(ranked), study.objective, shown))
    return tuple(found)


def plots(slices: tuple[Slice, ...]) -> list[Plot]:
    return [Plot(_id(each.factor.name), each.factor.name, _figure(each)) for each in slices]


def _figure(shown: Slice) -> go.Figure:
    made = go.Figure()
    factor = shown.factor
    add_points(
        made,
        shown.points,
        f"%{{text}}<br>{hovered(shown.objective)}",
    )
    layout(made, 240, margin={"l": 52, "r": 12, "t": 8, "b": 40})
    margin = 0.0 if factor.apart else 0.04 * (factor.high - factor.low)
    made.update_xaxes(
        title_text=label(factor.name),
        tickvals=[position for position, _ in factor.ticks],
        ticktext=[label(text, 16) for _, text in factor.ticks],
        range=[factor.low - margin, factor.high + margin],
    )
    made.update_yaxes(title_text=title(shown.objective), range=list(shown.range), nticks=6)
    return made


def _id(name: str) -> str:
    return "slice-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
