"""Learning curves: every trial's loss and score by epoch or by seconds of training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.reports.plots.base import Plot
from harness.reports.plots.style import FAINT, LEGEND_ABOVE, PERCENT, apply_layout
from harness.tracking.types import RunRecord

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

PANELS = {
    "val_auc": "validation AUC",
    "val_f1": "validation F1",
    "val_balanced_accuracy": "validation balanced accuracy",
    "val_log_loss": "validation log loss",
    "val_brier": "validation Brier score",
    "val_quantile_loss": "validation quantile loss",
    "val_accuracy": "validation accuracy",
    "train_accuracy": "training accuracy",
    "val_rmse": "validation RMSE",
    "train_rmse": "training RMSE",
    "val_mae": "validation MAE",
    "val_r2": "validation R2",
    "val_loss": "validation loss",
    "train_loss": "training loss",
}
"""Panel titles by the name of an EpochMetrics field; the first MAX_PANELS recorded are shown."""
MAX_PANELS = 4
TARGET_UNIT_METRICS = ("val_rmse", "train_rmse", "val_mae", "val_quantile_loss")
LOWER_IS_BETTER = (*TARGET_UNIT_METRICS, "val_loss", "train_loss", "val_log_loss", "val_brier")
MAX_POINTS = 40_000
"""Points of all curves in one panel; longer curves are thinned."""
MAX_SINGLE_EPOCHS = 10
"""With more epochs, not every one has its tick."""
MIN_POINTS = 8
"""Points that a curve keeps, however many curves there are."""


@dataclass(frozen=True)
class Curve:
    """One trial's curves: columns with one value per epoch."""

    key: int | str
    """The trial's key on the page: its number, or a letter on a page that compares trials."""
    epochs: tuple[int, ...]
    seconds: tuple[float, ...]
    """Training and validation up to this epoch, without the trials trained at the same time."""
    values: dict[str, tuple[float, ...]]
    """By the name of an EpochMetrics field."""


def build_plots(summary: Summary) -> list[Plot]:
    """Return one panel per metric, with the curves of all trials."""
    return build_curve_plots(
        compute_learning_curves([(run.number, run) for run in summary.study.trials])
    )


def compute_learning_curves(runs: Sequence[tuple[int | str, RunRecord]]) -> tuple[Curve, ...]:
    """Return the curves of (key, run) pairs; the curve of a pruned trial ends early."""
    trained = [(key, run) for key, run in runs if run.epochs]
    max_points = max(MIN_POINTS, MAX_POINTS // max(1, len(trained)))
    return tuple(_build_curve(key, run, max_points) for key, run in trained)


def build_curve_plots(curves: Sequence[Curve], key_prefix: str = "trial ") -> list[Plot]:
    """Return one panel per metric; `key_prefix` precedes a curve's key in the hover text."""
    metrics = ["val_accuracy", "train_accuracy"]
    if curves:  # trials that are compared may have other objectives or losses
        shared = set.intersection(*(set(curve.values) for curve in curves))
        metrics = [name for name in curves[0].values if name in shared]
    plots = [
        Plot(
            name.replace("_", "-"),
            _capitalize(PANELS[name]),
            _draw_curves(curves, name, key_prefix),
        )
        for name in metrics
    ]
    first = plots[0].figure  # names the selected trials
    first.update_layout(
        showlegend=True,
        legend=LEGEND_ABOVE,
        margin={"t": 34},
        meta={**first.layout.meta, "legend": key_prefix},
    )
    return plots


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]


def _draw_curves(curves: Sequence[Curve], metric: str, key_prefix: str) -> go.Figure:
    """Draw all curves as one trace with gaps, because a page with 1,000 traces does not open."""
    number_format = ",.5~r" if metric in TARGET_UNIT_METRICS else ".4f"
    x: list[int | None] = []
    seconds: list[float | None] = []
    y: list[float | None] = []
    keys: list[int | str | None] = []
    for curve in curves:
        x += [*curve.epochs, None]
        seconds += [*curve.seconds, None]
        y += [*curve.values[metric], None]
        keys += [*[curve.key] * len(curve.epochs), None]
    figure = go.Figure(
        go.Scatter(
            x=x,
            y=y,
            customdata=keys,
            meta={"seconds": seconds},
            # A single epoch would be invisible as a line.
            mode="lines" if any(len(curve.epochs) > 1 for curve in curves) else "markers",
            line={"color": FAINT, "width": 1},
            name="all trials",
            showlegend=bool(key_prefix),
            hovertemplate=f"{key_prefix}%{{customdata}}: %{{y:{number_format}}}<extra></extra>",
        )
    )
    axes = {"epoch": "epoch", "seconds": "seconds of training"}
    apply_layout(figure, 300, meta={"axes": axes, "log": metric in LOWER_IS_BETTER})
    few = max((curve.epochs[-1] for curve in curves), default=0) <= MAX_SINGLE_EPOCHS
    figure.update_xaxes(title_text="epoch", dtick=1 if few else None)
    if metric in ("val_accuracy", "train_accuracy"):
        figure.update_yaxes(tickformat=PERCENT)
    if low_high := _compute_axis_range(curves, metric):
        figure.update_yaxes(range=low_high)
    return figure


def _compute_axis_range(curves: Sequence[Curve], metric: str) -> tuple[float, float] | None:
    """Return the y range that contains the best third of the curves.

    Curves that diverge or start badly would flatten all others.
    """
    is_loss = metric in LOWER_IS_BETTER
    finite = [[v for v in curve.values[metric] if math.isfinite(v)] for curve in curves]
    ranked = sorted(
        (min(values) if is_loss else -max(values), values) for values in finite if values
    )
    if not ranked:
        return None
    visible = [value for _, values in ranked[: math.ceil(len(ranked) / 3)] for value in values]
    low, high = min(visible), max(visible)
    margin = 0.04 * (high - low) or 0.01
    return low - margin, high + margin


def _build_curve(key: int | str, run: RunRecord, max_points: int) -> Curve:
    seconds = list(itertools.accumulate(epoch.seconds for epoch in run.epochs))
    last = len(run.epochs) - 1
    count = min(max_points, last + 1)
    rows = sorted({round(index * last / max(1, count - 1)) for index in range(count)})
    epochs = [run.epochs[index] for index in rows]
    recorded = [name for name in PANELS if getattr(run.epochs[0], name) is not None]
    values = {
        metric: tuple(round(getattr(epoch, metric), 5) for epoch in epochs)
        for metric in recorded[:MAX_PANELS]
    }
    return Curve(
        key,
        tuple(epoch.epoch for epoch in epochs),
        tuple(round(seconds[index], 2) for index in rows),
        values,
    )
