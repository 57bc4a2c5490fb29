"""Trials by class: the accuracy of each trial on each class, relative to the class's median."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.reports.plots.base import Plot
from harness.reports.plots.style import (
    ACCENT,
    COLOURS,
    apply_layout,
    choose_tick_angle,
    escape_label,
)
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

MAX_ROWS = 40
"""Trials shown: half of these are the best trials, the others an even choice of the rest."""
MIN_FULL_COLOUR = 3
"""Examples of a class that the full colour stands for at least: one or two are chance."""


@dataclass(frozen=True)
class ClassHeatmap:
    """`accuracy` and `lead` are [trial][class]: best trial first, hardest class first."""

    numbers: tuple[int, ...]
    trials: tuple[str, ...]
    classes: tuple[str, ...]
    accuracy: tuple[tuple[float, ...], ...]
    """On the validation set; NaN for a class without examples."""
    lead: tuple[tuple[float, ...], ...]
    """The accuracy minus the class's median over the trials shown."""
    total: int
    """Complete trials, shown or not."""
    examples: int
    """Of the smallest class."""


def build_plots(summary: Summary) -> list[Plot]:
    """Return the heat map of a classification study with several complete trials."""
    data = compute_class_heatmap(summary.study)
    if len(data.numbers) < 2:
        return []
    selection = f"{len(data.numbers)} of {data.total} complete trials"
    title = f"Trials by class: {selection}, accuracy minus the class's median"
    note = "The class with the lowest median accuracy is on the left, the best trial at the top."
    return [Plot("classmap", title, draw_class_heatmap(data), wide=True, note=note)]


def compute_class_heatmap(study: StudyRun) -> ClassHeatmap:
    """Compute the heat map of the complete trials; classes are sorted by median accuracy."""
    ranked = [run for run in study.rank_trials() if run.confusion]
    rows = _select_rows(ranked)
    accuracies = [run.class_accuracy for run in rows]
    medians = []
    for index in range(len(study.classes)):
        known = [values[index] for values in accuracies if not math.isnan(values[index])]
        medians.append(statistics.median(known) if known else math.nan)
    order = [index for index, value in enumerate(medians) if not math.isnan(value)]
    order.sort(key=lambda index: medians[index])
    return ClassHeatmap(
        tuple(run.number for run in rows),
        tuple(f"{run.number} · {run.spec.describe()}" for run in rows),
        tuple(study.classes[index] for index in order),
        tuple(tuple(values[index] for index in order) for values in accuracies),
        tuple(tuple(values[index] - medians[index] for index in order) for values in accuracies),
        len(ranked),
        min((n for n in map(sum, rows[0].confusion) if n), default=1) if rows else 1,
    )


def draw_class_heatmap(data: ClassHeatmap) -> go.Figure:
    # One hue above the median, one below. The 95th percentile of all leads has the full colour.
    sizes = sorted(abs(value) for row in data.lead for value in row if not math.isnan(value))
    strongest = sizes[int(0.95 * (len(sizes) - 1))] if sizes else 1.0
    strongest = max(strongest, MIN_FULL_COLOUR / data.examples)
    scale = [[0, COLOURS[1]], [0.5, "rgba(125, 133, 144, 0.08)"], [1, ACCENT]]
    figure = go.Figure(
        go.Heatmap(
            z=[[None if math.isnan(value) else value for value in row] for row in data.lead],
            x=list(range(len(data.classes))),
            y=list(range(len(data.numbers))),
            text=[
                [f"{escape_label(trial)}<br>{escape_label(name)}" for name in data.classes]
                for trial in data.trials
            ],
            customdata=[
                [None if math.isnan(value) else value for value in row] for row in data.accuracy
            ],
            meta={"rows": list(data.numbers)},
            hovertemplate="%{text}: %{customdata:.1%}, %{z:+.1%} from the median<extra></extra>",
            colorscale=scale,
            zmin=-strongest,
            zmax=strongest,
            colorbar={"tickformat": "+.1%", "thickness": 8, "x": 1.01, "xpad": 2},
            xgap=1,
            ygap=1,
        )
    )
    apply_layout(figure, 130 + 16 * len(data.numbers), margin={"t": 20, "r": 0})
    figure.update_layout(meta={"narrow": [str(number) for number in data.numbers]})
    figure.update_yaxes(
        autorange="reversed",
        tickvals=list(range(len(data.numbers))),
        ticktext=[escape_label(trial, 28) for trial in data.trials],
        tickfont={"size": 10},
        showgrid=False,
    )
    figure.update_xaxes(
        tickvals=list(range(len(data.classes))),
        ticktext=[escape_label(name, 18) for name in data.classes],
        showgrid=False,
        tickangle=choose_tick_angle(data.classes),
    )
    return figure


def _select_rows(ranked: Sequence[RunRecord]) -> list[RunRecord]:
    best, rest = list(ranked[: MAX_ROWS // 2]), ranked[MAX_ROWS // 2 :]
    room = MAX_ROWS - len(best)
    if len(rest) <= room:
        return [*best, *rest]
    return best + [rest[round(index * (len(rest) - 1) / (room - 1))] for index in range(room)]
