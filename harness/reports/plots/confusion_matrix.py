"""The champion's confusion matrix, in counts and in shares of the true class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.reports.plots.base import Plot
from harness.reports.plots.class_accuracy import get_confusions
from harness.reports.plots.style import ACCENT, apply_layout, choose_tick_angle, escape_label

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

MAX_LABELLED = 30
"""With more classes, the cells have no numbers written into them."""
MAX_PAIRED = 12
"""With more classes, one matrix takes the whole width, and the shares are in its hover texts."""


@dataclass(frozen=True)
class Confusion:
    """`counts` and `shares` are [true][predicted]; a share is of the true class's examples."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[float, ...], ...]


def build_plots(summary: Summary) -> list[Plot]:
    """Return the champion's matrices of the test set, or of validation if test was not read."""
    if not summary.study.classes:
        return []
    counts = list(get_confusions(summary).values())[-1]
    confusion = compute_confusion(summary.study.classes, counts)
    shares = [[f"{100 * n:.0f}" if n else "" for n in row] for row in confusion.shares]
    texts = [[str(n) if n else "" for n in row] for row in confusion.counts]
    figure, is_paired = draw_confusion(confusion, texts), len(confusion.names) <= MAX_PAIRED
    first = Plot("confusion-counts", "Confusion matrix: examples", figure, wide=not is_paired)
    if not is_paired:
        return [first]
    return [
        first,
        Plot(
            "confusion-shares",
            "Confusion matrix: % of the true class",
            draw_confusion(confusion, shares),
        ),
    ]


def compute_confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Confusion:
    shares = tuple(tuple(n / max(1, sum(row)) for n in row) for row in counts)
    return Confusion(tuple(classes), tuple(map(tuple, counts)), shares)


def draw_confusion(confusion: Confusion, texts: Sequence[Sequence[str]]) -> go.Figure:
    """Draw the matrix with `texts` [true][predicted] in its cells."""
    # Cells are placed by index, because two long names may be shortened to the same text.
    names = [escape_label(name, 14) for name in confusion.names]
    indices = list(range(len(names)))
    hover = [
        [
            f"{escape_label(confusion.names[true])} classified as "
            f"{escape_label(confusion.names[predicted])}: "
            f"{confusion.counts[true][predicted]} ({confusion.shares[true][predicted]:.1%})"
            for predicted in indices
        ]
        for true in indices
    ]
    figure = go.Figure(
        go.Heatmap(
            z=confusion.shares,
            x=indices,
            y=indices,
            customdata=hover,
            text=texts,
            texttemplate="%{text}" if len(names) <= MAX_LABELLED else None,
            textfont={"size": 10},
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=[[0, "rgba(47, 129, 247, 0.03)"], [1, ACCENT]],
            zmin=0,
            zmax=0.2,  # the diagonal is near 1 and would hide the differences between the errors
            showscale=False,
            xgap=1,
            ygap=1,
        )
    )
    apply_layout(figure, 150 + 30 * min(len(names), 20))
    ticks = {"tickvals": indices, "ticktext": names, "showgrid": False}
    figure.update_yaxes(autorange="reversed", **ticks)
    figure.update_xaxes(tickangle=choose_tick_angle(confusion.names), **ticks)
    return figure
