"""The expected best of n random trials, and the best of the first n trials of the search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.analysis.expected_best import ExpectedBest
from harness.analysis.formatting import format_count
from harness.metrics import get_sort_sign
from harness.reports.plots.base import Plot
from harness.reports.plots.scatter import (
    compute_axis_range,
    get_objective_axis,
    get_objective_format,
)
from harness.reports.plots.style import ACCENT, FAINT, INK, LEGEND_ABOVE, NEUTRAL, apply_layout

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

BAND = "rgba(47, 129, 247, 0.15)"
"""ACCENT, faint."""


def build_plots(summary: Summary) -> list[Plot]:
    """Return the plot of a search; a grid or list has none."""
    best = summary.expected_best
    if best is None:
        return []
    figure, note = draw_expected_best(best), describe_expected_best(best)
    return [Plot("expected", "The expected best of n trials", figure, wide=True, note=note)]


def describe_expected_best(best: ExpectedBest) -> str:
    return (
        "Would fewer trials have been enough? The blue line is the expected best of n trials drawn "
        f"at random from the {best.trials} with a result; the band holds 90 % of the draws: "
        f"{best.describe_sufficient_trials()}. The grey line is the best of the first n trials; a "
        "sampler that learns makes later trials better. A pruned trial counts with its best value."
    )


def draw_expected_best(best: ExpectedBest) -> go.Figure:
    figure, value = go.Figure(), f"%{{y:{get_objective_format(best.objective)}}}"
    steps = [n for n, _ in best.curve]
    low, high, mean, course = (
        [values[n - 1] for n in steps]
        for values in (best.low, best.high, best.mean, best.running_best)
    )
    edge = {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(x=steps, y=low, **edge))
    figure.add_trace(go.Scatter(x=steps, y=high, fill="tonexty", fillcolor=BAND, **edge))
    figure.add_trace(
        go.Scatter(
            x=steps,
            y=course,
            mode="lines",
            line={"color": NEUTRAL, "width": 1.5, "shape": "hv"},
            name="first n trials",
            hovertemplate=f"n = %{{x}}: {value}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=steps,
            y=mean,
            text=[
                f"{best.format_value(a)} to {best.format_value(b)}"
                for a, b in zip(low, high, strict=True)
            ],
            mode="lines",
            line={"color": ACCENT, "width": 2.5},
            name="n random trials",
            hovertemplate=f"n = %{{x}}: {value} (90 %: %{{text}})<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[best.sufficient_trials],
            y=[best.mean[best.sufficient_trials - 1]],
            mode="markers",
            marker={"color": ACCENT, "size": 9, "line": {"color": INK, "width": 1}},
            name=f"enough: {format_count(best.sufficient_trials, 'trial')}",
            hovertemplate=f"n = %{{x}} is enough: {value}<extra></extra>",
        )
    )
    threshold = best.best + get_sort_sign(best.objective) * best.tolerance
    figure.add_hline(y=threshold, line={"color": FAINT, "width": 1.5, "dash": "dot"})
    ticks = _compute_ticks(best.trials)
    apply_layout(
        figure,
        320,
        margin={"l": 52, "r": 12, "t": 30, "b": 40},
        showlegend=True,
        legend=LEGEND_ABOVE | {"traceorder": "normal"},  # Plotly reverses it for filled traces
    )
    figure.update_xaxes(
        title_text="trials, n",
        type="log",
        tickvals=[*(n for n in ticks if n < 0.8 * best.trials), best.trials],
        tickformat=",d",
    )
    means = [best.mean[n - 1] for n in ticks]
    shown = [threshold, best.mean[best.sufficient_trials - 1]]
    bounds = (*compute_axis_range([*means, best.best], [threshold], best.objective), *shown)
    margin = 0.06 * (max(bounds) - min(bounds))
    y_range = [min(bounds) - margin, max(bounds) + margin]
    figure.update_yaxes(range=y_range, **get_objective_axis(best.objective))
    return figure


def _compute_ticks(trials: int) -> list[int]:
    """Return 1, 2, 5, 10 and so on, up to the number of trials."""
    steps = (digit * 10**power for power in range(len(str(trials))) for digit in (1, 2, 5))
    return [n for n in steps if n <= trials]
