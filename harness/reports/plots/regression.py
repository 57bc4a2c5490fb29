"""A regression's predictions versus true values, residuals and error histogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from harness.analysis.formatting import format_percent
from harness.metrics import format_number
from harness.reports.plots.base import Plot
from harness.reports.plots.style import (
    INK,
    LEGEND_ABOVE,
    SPLITS,
    apply_layout,
    escape_label,
)

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

MAX_DRAWN = 2000
"""Examples of a split, an even choice."""
BINS = 40
LARGEST = 0.01
HEAVY_SHARE = 0.25
"""Share of the squared error in the LARGEST errors from which the RMSE's interval is unreliable:
8 % for normal errors, some 20 % for Student's t with 5 degrees of freedom, 40 % with 3."""
CLOSE = 0.1
"""Relative error up to which a prediction counts as close."""

MIN_FOR_TAIL = 100
"""Examples for which that share is computed."""

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class SplitPredictions:
    """The champion's predictions on one split, in the target's units; [n] each."""

    split: str
    true: Values
    predicted: Values

    @property
    def errors(self) -> Values:
        """Predicted minus true."""
        return self.predicted - self.true

    def describe(self) -> str:
        sizes = np.abs(self.errors)
        close = sizes <= CLOSE * np.abs(self.true)
        worst = int(sizes.argmax())
        return (
            f"Absolute error on {len(self.true):,} {self.split} examples: median "
            f"{format_number(float(np.median(sizes)))}, 90th percentile "
            f"{format_number(float(np.quantile(sizes, 0.9)))}. "
            f"{format_percent(float(close.mean()))} of the predictions are within "
            f"{100 * CLOSE:.0f} % of the true value. Largest error: predicted "
            f"{format_number(float(self.predicted[worst]))}, true "
            f"{format_number(float(self.true[worst]))}.{self._describe_heavy_tail()}"
        )

    def _describe_heavy_tail(self) -> str:
        """Return a warning if a few large errors decide the RMSE, else an empty string."""
        squared = np.sort(np.square(self.errors))
        largest = int(np.ceil(LARGEST * len(squared)))
        share = float(squared[-largest:].sum() / (squared.sum() or 1.0))
        if len(squared) < MIN_FOR_TAIL or share < HEAVY_SHARE:
            return ""
        return (
            f" The largest 1 % of the errors make up {format_percent(share)} of the squared error, "
            "so the RMSE depends on a few examples: its interval is less "
            "reliable than that of the MAE."
        )


def build_plots(summary: Summary) -> list[Plot]:
    """Return the plots of a regression whose predictions were recorded."""
    splits = load_predictions(summary)
    if not splits:
        return []
    target = summary.study.score.target or "the target"
    predictions, residuals = draw_predictions(splits, target), draw_residuals(splits, target)
    return [
        Plot("predicted", f"{target}: predicted versus true", predictions, wide=True),
        Plot("residuals", "Residuals: predicted minus true", residuals),
        Plot("errors", "Distribution of the errors", draw_error_histogram(splits)),
    ]


def load_predictions(summary: Summary) -> list[SplitPredictions]:
    """Return the predictions on the validation set, and on the test set if it was read."""
    return [
        SplitPredictions(split, *rows.astype(np.float64))
        for split, rows in summary.predictions.items()
        if rows.shape[1]
    ]


def draw_predictions(splits: list[SplitPredictions], target: str) -> go.Figure:
    figure = go.Figure()
    limits = [float(pick([pick(each.true) for each in splits])) for pick in (np.min, np.max)]
    figure.add_trace(
        go.Scatter(
            x=limits,
            y=limits,
            mode="lines",
            line={"color": INK, "width": 1.5, "dash": "dot"},
            name="exact",
            hoverinfo="skip",
        )
    )
    for split, (colour, _) in zip(splits, SPLITS, strict=False):
        _add_dots(figure, split, split.true, split.predicted, colour)
    apply_layout(figure, 460, showlegend=True, legend=LEGEND_ABOVE, margin={"t": 34})
    figure.update_xaxes(title_text=f"true {escape_label(target)}", tickformat=",.4~r")
    figure.update_yaxes(title_text=f"predicted {escape_label(target)}", tickformat=",.4~r")
    return figure


def draw_residuals(splits: list[SplitPredictions], target: str) -> go.Figure:
    figure = go.Figure()
    for split, (colour, _) in zip(splits, SPLITS, strict=False):
        _add_dots(figure, split, split.predicted, split.errors, colour)
    figure.add_hline(y=0, line={"color": INK, "width": 1.5, "dash": "dot"})
    apply_layout(figure, 320, showlegend=len(splits) > 1, legend=LEGEND_ABOVE, margin={"t": 34})
    figure.update_xaxes(title_text=f"predicted {escape_label(target)}", tickformat=",.4~r")
    figure.update_yaxes(title_text="predicted minus true", tickformat=",.4~r")
    return figure


def draw_error_histogram(splits: list[SplitPredictions]) -> go.Figure:
    """Draw the shares of each split's examples, in the same bins for all splits."""
    figure = go.Figure()
    edges = np.histogram_bin_edges(np.concatenate([each.errors for each in splits]), BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    for split, (colour, _) in zip(splits, SPLITS, strict=False):
        counts = np.histogram(split.errors, edges)[0]
        figure.add_trace(
            go.Bar(
                x=middles.tolist(),
                y=(counts / len(split.errors)).tolist(),
                name=escape_label(split.split),
                opacity=0.7,
                marker={"color": colour, "line": {"width": 0}},
                text=[
                    f"{format_number(low, high or low)} to {format_number(high, low or high)}: "
                    f"{count:,}"
                    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
                ],
                textposition="none",
                hovertemplate=f"%{{text}} of {len(split.errors):,} {escape_label(split.split)} "
                "examples<extra></extra>",
            )
        )
    apply_layout(figure, 320, showlegend=len(splits) > 1, legend=LEGEND_ABOVE, margin={"t": 34})
    figure.update_layout(barmode="overlay", bargap=0.05)
    figure.update_xaxes(title_text="predicted minus true", tickformat=",.4~r")
    figure.update_yaxes(title_text="share of the examples", tickformat=".0%")
    return figure


def _add_dots(
    figure: go.Figure, split: SplitPredictions, x: Values, y: Values, colour: str
) -> None:
    count = len(split.true)
    rows = np.unique(np.linspace(0, count - 1, min(count, MAX_DRAWN)).astype(int))
    figure.add_trace(
        go.Scatter(
            x=x[rows].tolist(),
            y=y[rows].tolist(),
            text=[
                f"true {format_number(float(split.true[row]))}, predicted "
                f"{format_number(float(split.predicted[row]))}"
                for row in rows
            ],
            mode="markers",
            name=escape_label(split.split),
            marker={"color": colour, "size": 5, "opacity": 0.65},
            hovertemplate=f"{escape_label(split.split)} example: %{{text}}<extra></extra>",
        )
    )
