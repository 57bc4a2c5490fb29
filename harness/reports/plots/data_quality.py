"""Class balance: the share of each class in the training, validation and test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.analysis.data_quality import read_data_quality
from harness.data.leakage import DataQuality
from harness.reports.plots.base import Plot
from harness.reports.plots.style import (
    COLOURS,
    LEGEND_ABOVE,
    apply_layout,
    escape_label,
    label_rows,
)
from harness.tracking.types import StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

MAX_CLASSES = 20
"""With more classes, the page has a table instead."""
MAX_LETTERS = 24
"""Of a class name."""


@dataclass(frozen=True)
class SplitBalance:
    split: str
    examples: tuple[int, ...]
    """By class, in the order of `ClassBalance.names`."""
    total: int


@dataclass(frozen=True)
class ClassBalance:
    names: tuple[str, ...] = ()
    splits: tuple[SplitBalance, ...] = ()


def build_plots(summary: Summary) -> list[Plot]:
    """Return the balance of a study of few classes; older records have none."""
    quality = read_data_quality(summary.study)
    balance = compute_class_balance(summary.study, quality) if quality else None
    if balance is None or not balance.names:
        return []
    title = "Class balance: share of each set's examples"
    return [Plot("balance", title, draw_class_balance(balance), wide=True)]


def compute_class_balance(study: StudyRun, quality: DataQuality) -> ClassBalance:
    """Return the balance; it is empty with many classes or if the record has no counts by class.

    The classes of a sealed test set are not counted.
    """
    counted = {name: part for name, part in quality.parts.items() if part.by_class}
    is_counted = all(len(part.by_class) == len(study.classes) for part in counted.values())
    if not counted or not is_counted or len(study.classes) > MAX_CLASSES:
        return ClassBalance()
    splits = (
        SplitBalance(study.test_name if name == "test" else name, part.by_class, part.examples)
        for name, part in counted.items()
    )
    return ClassBalance(tuple(study.classes), tuple(splits))


def draw_class_balance(balance: ClassBalance) -> go.Figure:
    """Draw bars: one group per class, one colour per split."""
    figure = go.Figure()
    names = [escape_label(name, MAX_LETTERS) for name in balance.names]
    for split, colour in zip(balance.splits, COLOURS, strict=False):
        figure.add_trace(
            go.Bar(
                x=[n / split.total for n in split.examples],
                y=list(range(len(names))),
                orientation="h",
                name=escape_label(split.split),
                marker={"color": colour, "line": {"width": 0}},
                text=[
                    f"{name}: {n:,} of {split.total:,} {escape_label(split.split)} examples"
                    for name, n in zip(names, split.examples, strict=True)
                ],
                textposition="none",
                hovertemplate="%{text} (%{x:.2%})<extra></extra>",
            )
        )
    apply_layout(
        figure,
        110 + 30 * len(names),
        showlegend=True,
        legend=LEGEND_ABOVE | {"traceorder": "normal"},
        margin={"t": 34},
    )
    figure.update_layout(barmode="group", bargap=0.3)
    label_rows(figure, names)
    figure.update_xaxes(title_text="share of the examples", tickformat=".2~%", rangemode="tozero")
    return figure
