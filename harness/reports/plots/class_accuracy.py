"""Accuracy by class, hardest first, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from harness.reports.plots.style import COLOURS, label, layout, whiskers
from harness.stats.proportions import wilson
from harness.tracking.types import Matrix


@dataclass(frozen=True)
class Series:
    """Accuracies in the order of `ClassAccuracy.names`; None for a class without an example."""

    name: str
    accuracy: tuple[float | None, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class ClassAccuracy:
    """Hardest class first, by the last series; classes that no series has are left out."""

    names: tuple[str, ...]
    series: tuple[Series, ...]


def data(classes: Sequence[str], confusions: Mapping[str, Matrix]) -> ClassAccuracy:
    """Of named [true][predicted] matrices, such as {"validation": ..., "test": ...}."""
    known = {name: matrix for name, matrix in confusions.items() if matrix}
    counted = [
        index
        for index in range(len(classes))
        if any(sum(matrix[index]) for matrix in known.values())
    ]
    ranked_by = list(known.values())[-1] if known else ()

    def accuracy(index: int) -> float:
        n = sum(ranked_by[index])
        return ranked_by[index][index] / n if n else 2.0

    order = sorted(counted, key=accuracy)
    series = []
    for name, matrix in known.items():
        rows = [(matrix[index][index], sum(matrix[index])) for index in order]
        bounds = [wilson(correct, n) for correct, n in rows]
        series.append(
            Series(
                name,
                tuple(correct / n if n else None for correct, n in rows),
                tuple(low for low, _ in bounds),
                tuple(high for _, high in bounds),
            )
        )
    return ClassAccuracy(tuple(classes[index] for index in order), tuple(series))


def figure(found: ClassAccuracy) -> go.Figure:
    made = go.Figure()
    count = len(found.series)
    for place, (series, colour) in enumerate(zip(found.series, COLOURS, strict=False)):
        shift = 0.14 * (place - (count - 1) / 2)
        shown = [index for index, value in enumerate(series.accuracy) if value is not None]
        accuracy = [series.accuracy[index] or 0.0 for index in shown]
        made.add_trace(
            go.Scatter(
                x=accuracy,
                y=[index + shift for index in shown],
                text=[
                    f"{label(found.names[index])}: {value:.1%} "
                    f"({series.low[index]:.1%} to {series.high[index]:.1%})"
                    for index, value in zip(shown, accuracy, strict=True)
                ],
                error_x=whiskers(
                    accuracy,
                    [series.low[index] for index in shown],
                    [series.high[index] for index in shown],
                ),
                mode="markers",
                name=label(series.name),
                marker={"color": colour, "size": 9},
                hovertemplate=f"{label(series.name)}<br>%{{text}}<extra></extra>",
            )
        )
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}
    names = [label(name, 18) for name in found.names]
    layout(made, 110 + 34 * len(names), showlegend=count > 1, legend=legend, margin={"t": 34})
    made.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5]
    )
    made.update_xaxes(title_text="accuracy, 95 % interval", tickformat=".0%")
    return made
