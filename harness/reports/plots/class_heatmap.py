"""Trials against classes: which settings help which class."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from harness.reports.plots.style import ACCENT, COLOURS, label, layout, slanted
from harness.tracking.types import RunRecord, StudyRun

ROWS = 40
"""At most so many trials: the best half of that, and evenly from the rest."""
FAINTEST = 3
"""Examples of a class that a full colour stands for at least: one more or less is chance."""


@dataclass(frozen=True)
class ClassMap:
    """`accuracy` and `lead` by [trial][class], the best trial first, the hardest class first."""

    numbers: tuple[int, ...]
    trials: tuple[str, ...]
    classes: tuple[str, ...]
    accuracy: tuple[tuple[float, ...], ...]
    """On the validation part; NaN where the class has no example."""
    lead: tuple[tuple[float, ...], ...]
    """The accuracy less the class's median over these trials."""
    of: int
    """Trials that there are."""
    examples: int
    """Of the class that has the fewest."""


def data(study: StudyRun) -> ClassMap:
    """Of the complete trials, with the classes in the order of their median accuracy."""
    ranked = [run for run in study.rank_trials() if run.confusion]
    shown = _spread(ranked)
    by_run = [run.class_accuracy for run in shown]
    medians = []
    for index in range(len(study.classes)):
        known = [values[index] for values in by_run if not math.isnan(values[index])]
        medians.append(statistics.median(known) if known else math.nan)
    order = [index for index, value in enumerate(medians) if not math.isnan(value)]
    order.sort(key=lambda index: medians[index])
    return ClassMap(
        tuple(run.number for run in shown),
        tuple(f"{run.number} · {run.spec.describe()}" for run in shown),
        tuple(study.classes[index] for index in order),
        tuple(tuple(values[index] for index in order) for values in by_run),
        tuple(tuple(values[index] - medians[index] for index in order) for values in by_run),
        len(ranked),
        min((n for n in map(sum, shown[0].confusion) if n), default=1) if shown else 1,
    )


def figure(found: ClassMap) -> go.Figure:
    # Above and below the median in two hues; a lead beyond this is as strong as the colours get.
    sizes = sorted(abs(value) for row in found.lead for value in row if not math.isnan(value))
    strongest = sizes[int(0.95 * (len(sizes) - 1))] if sizes else 1.0
    strongest = max(strongest, FAINTEST / found.examples)
    scale = [[0, COLOURS[1]], [0.5, "rgba(125, 133, 144, 0.08)"], [1, ACCENT]]
    made = go.Figure(
        go.Heatmap(
            z=[[None if math.isnan(value) else value for value in row] for row in found.lead],
            x=list(range(len(found.classes))),
            y=list(range(len(found.numbers))),
            text=[
                [f"{label(trial)}<br>{label(name)}" for name in found.classes]
                for trial in found.trials
            ],
            customdata=[
                [None if math.isnan(value) else value for value in row] for row in found.accuracy
            ],
            meta={"rows": list(found.numbers)},
            hovertemplate="%{text}: %{customdata:.1%}, %{z:+.1%} to the median<extra></extra>",
            colorscale=scale,
            zmin=-strongest,
            zmax=strongest,
            colorbar={"tickformat": "+.1%", "thickness": 8, "x": 1.01, "xpad": 2},
            xgap=1,
            ygap=1,
        )
    )
    layout(made, 130 + 16 * len(found.numbers), margin={"t": 20, "r": 0})
    made.update_yaxes(
        autorange="reversed",
        tickvals=list(range(len(found.numbers))),
        ticktext=[label(trial, 28) for trial in found.trials],
        tickfont={"size": 10},
        showgrid=False,
    )
    made.update_xaxes(
        tickvals=list(range(len(found.classes))),
        ticktext=[label(name, 18) for name in found.classes],
        showgrid=False,
        tickangle=slanted(found.classes),
    )
    return made


def _spread(ranked: Sequence[RunRecord]) -> list[RunRecord]:
    best, rest = list(ranked[: ROWS // 2]), ranked[ROWS // 2 :]
    room = ROWS - len(best)
    if len(rest) <= room:
        return [*best, *rest]
    return best + [rest[round(index * (len(rest) - 1) / (room - 1))] for index in range(room)]
