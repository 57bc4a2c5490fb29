"""The cost of choosing on the test set: how the best trial on one half does on the other half."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.analysis.test_selection_bias import Halves, TestSelectionBias
from harness.reports.plots.base import Plot
from harness.reports.plots.style import ACCENT, INK, LEGEND_ABOVE, NEUTRAL, apply_layout

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

MAX_BARS = 40


def build_plots(summary: Summary) -> list[Plot]:
    """Return the plot of a grid or list whose test predictions were recorded."""
    if summary.test_selection_bias is None:
        return []
    title = "Accuracy on one half of the test examples minus that on the other half, in points"
    return [Plot("luck", title, draw_gaps(summary.test_selection_bias), wide=True)]


def draw_gaps(bias: TestSelectionBias) -> go.Figure:
    """Draw how many random halvings of the test set have which gap between the halves."""
    figure = go.Figure()
    width, champion, best = count_gaps(bias)
    for name, halves, counts, colour in (
        ("the champion, chosen on validation", bias.champion, champion, ACCENT),
        ("the best on one half", bias.best_on_half, best, NEUTRAL),
    ):
        mean = 100 * (halves.means[0] - halves.means[1])
        figure.add_trace(
            go.Bar(
                x=[100 * place for place in counts],
                y=list(counts.values()),
                width=100 * width,
                name=name,
                marker={"color": colour, "opacity": 0.6, "line": {"width": 0}},
                hovertemplate=f"{name}<br>%{{x:+.2f}} points: %{{y}} halvings<extra></extra>",
            )
        )
        figure.add_vline(x=mean, line={"color": colour, "width": 2, "dash": "dot"})
    apply_layout(
        figure,
        300,
        showlegend=True,
        legend=LEGEND_ABOVE,
        margin={"t": 34},
        barmode="overlay",
    )
    figure.update_xaxes(
        title_text="points above the other half", zeroline=True, zerolinecolor=INK, zerolinewidth=1
    )
    figure.update_yaxes(title_text="halvings")
    return figure


def count_gaps(bias: TestSelectionBias) -> tuple[float, dict[float, int], dict[float, int]]:
    """Return the bars' width, and the halvings by the middle of their bar: champion, best trial.

    A trial's gap changes in steps of two examples. So a bar is as wide as an even number of
    examples and starts between two of them.
    """
    example = 1 / bias.half_size
    gaps = [*bias.best_on_half.gaps, *bias.champion.gaps]
    width = 2 * example * max(1, math.ceil((max(gaps) - min(gaps)) / (2 * example) / MAX_BARS))

    def count(halves: Halves) -> dict[float, int]:
        counts = Counter(math.floor((gap + example / 2) / width) for gap in halves.gaps)
        return {(bar + 0.5) * width - example / 2: counts[bar] for bar in sorted(counts)}

    return width, count(bias.champion), count(bias.best_on_half)
