"""Accuracy by class, lowest first, with simultaneous 95 % intervals.

All intervals of a split cover together, so that one may compare any two classes, or the lowest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.reports.plots.base import Plot
from harness.reports.plots.style import (
    LEGEND_ABOVE,
    SPLITS,
    apply_layout,
    build_error_bars,
    escape_label,
    label_rows,
)
from harness.results import ConfusionMatrix, count_correct_by_class
from harness.stats.proportions import compute_simultaneous_interval

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


@dataclass(frozen=True)
class Series:
    """Accuracies in the order of `ClassAccuracy.names`; None for a class without examples."""

    name: str
    accuracy: tuple[float | None, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracies by class; classes without examples in any series are left out."""

    names: tuple[str, ...]
    """The class with the lowest accuracy in the last series first."""
    series: tuple[Series, ...]


def build_plots(summary: Summary) -> list[Plot]:
    """Return the champion's accuracy by class, on the validation set and on the test set."""
    if not summary.study.classes:
        return []
    accuracy = compute_class_accuracy(summary.study.classes, get_confusions(summary))
    figure = draw_class_accuracy(accuracy)
    return [Plot("classes", "The champion's accuracy by class", figure, wide=True)]


def get_confusions(summary: Summary) -> dict[str, ConfusionMatrix]:
    """Return the champion's [true][predicted] counts by split; the test set's are last."""
    confusions: dict[str, ConfusionMatrix] = {"validation": summary.model_run.confusion}
    if summary.reading is not None:
        confusions["test"] = summary.reading.confusion
    return confusions


def compute_class_accuracy(
    classes: Sequence[str], confusions: Mapping[str, ConfusionMatrix]
) -> ClassAccuracy:
    """Compute accuracies from [true][predicted] counts: {"validation": ..., "test": ...}."""
    counts = {name: count_correct_by_class(matrix) for name, matrix in confusions.items() if matrix}
    with_examples = [
        index
        for index in range(len(classes))
        if any(by_class[index][1] for by_class in counts.values())
    ]
    last = list(counts.values())[-1] if counts else []

    def last_accuracy(index: int) -> float:
        correct, n = last[index]
        return correct / n if n else 2.0

    order = sorted(with_examples, key=last_accuracy)
    series = []
    for name, by_class in counts.items():
        ordered = [by_class[index] for index in order]
        known = sum(n > 0 for _, n in ordered)
        bounds = [compute_simultaneous_interval(correct, n, known) for correct, n in ordered]
        series.append(
            Series(
                name,
                tuple(correct / n if n else None for correct, n in ordered),
                tuple(low for low, _ in bounds),
                tuple(high for _, high in bounds),
            )
        )
    return ClassAccuracy(tuple(classes[index] for index in order), tuple(series))


def draw_class_accuracy(data: ClassAccuracy) -> go.Figure:
    figure = go.Figure()
    count = len(data.series)
    for place, (series, style) in enumerate(zip(data.series, SPLITS, strict=False)):
        colour, symbol = style
        shift = 0.14 * (place - (count - 1) / 2)
        rows = [index for index, value in enumerate(series.accuracy) if value is not None]
        accuracy = [series.accuracy[index] or 0.0 for index in rows]
        figure.add_trace(
            go.Scatter(
                x=accuracy,
                y=[index + shift for index in rows],
                text=[
                    f"{escape_label(data.names[index])}: {value:.1%} "
                    f"({series.low[index]:.1%} to {series.high[index]:.1%})"
                    for index, value in zip(rows, accuracy, strict=True)
                ],
                error_x=build_error_bars(
                    accuracy,
                    [series.low[index] for index in rows],
                    [series.high[index] for index in rows],
                ),
                mode="markers",
                name=escape_label(series.name),
                marker={"color": colour, "size": 9, "symbol": symbol},
                hovertemplate=f"{escape_label(series.name)}<br>%{{text}}<extra></extra>",
            )
        )
    names = [escape_label(name, 18) for name in data.names]
    apply_layout(
        figure,
        110 + 34 * len(names),
        showlegend=count > 1,
        legend=LEGEND_ABOVE,
        margin={"t": 34},
    )
    label_rows(figure, names)
    figure.update_xaxes(title_text="accuracy, 95 % interval", tickformat=".0%")
    return figure
