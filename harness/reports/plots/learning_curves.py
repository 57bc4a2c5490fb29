"""Learning curves: loss and accuracy of every trial against epochs, or against seconds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from harness.reports.plots.style import FAINT, Plot, layout
from harness.tracking.types import RunRecord

PANELS = {
    "val_accuracy": "validation accuracy",
    "train_accuracy": "training accuracy",
    "val_rmse": "validation RMSE",
    "train_rmse": "training RMSE",
    "val_mae": "validation MAE",
    "val_r2": "validation R2",
    "val_loss": "validation loss",
    "train_loss": "training loss",
}
"""By the name of an EpochMetrics field; of what was measured, the first MOST_PANELS."""
MOST_PANELS = 4
IN_UNITS = ("val_rmse", "train_rmse", "val_mae")
FALLING = (*IN_UNITS, "val_loss", "train_loss")
POINTS = 40_000
"""On one panel, over all trials: longer curves are thinned to so many."""
FEWEST = 8
"""A curve keeps so many points whatever their number."""


@dataclass(frozen=True)
class Curve:
    """One trial's curves: columns of equal length, a row an epoch."""

    key: int | str
    """What the page knows the trial by: its number."""
    epochs: tuple[int, ...]
    seconds: tuple[float, ...]
    """Of training and validation so far, without the trials beside it."""
    values: dict[str, tuple[float, ...]]
    """By the name of an EpochMetrics field."""


def data(runs: Sequence[tuple[int | str, RunRecord]]) -> tuple[Curve, ...]:
    """The curves of (key, run) pairs; a pruned trial's ends where it was pruned."""
    with_epochs = [(key, run) for key, run in runs if run.epochs]
    most = max(FEWEST, POINTS // max(1, len(with_epochs)))
    return tuple(_curve(key, run, most) for key, run in with_epochs)


def plots(curves: Sequence[Curve], called: str = "trial ") -> list[Plot]:
    """`called` stands before a curve's key where the pointer is on it."""
    known = curves[0].values if curves else dict.fromkeys(list(PANELS)[:2])
    return [
        Plot(name.replace("_", "-"), PANELS[name], _figure(curves, name, called)) for name in known
    ]


def _figure(curves: Sequence[Curve], metric: str, called: str) -> go.Figure:
    """All curves as one trace, gaps between them: a page of 1,000 traces does not open."""
    form = ",.5~r" if metric in IN_UNITS else ".4f"
    x: list[int | None] = []
    seconds: list[float | None] = []
    y: list[float | None] = []
    keys: list[int | str | None] = []
    for curve in curves:
        x += [*curve.epochs, None]
        seconds += [*curve.seconds, None]
        y += [*curve.values[metric], None]
        keys += [*[curve.key] * len(curve.epochs), None]
    made = go.Figure(
        go.Scatter(
            x=x,
            y=y,
            customdata=keys,
            meta={"seconds": seconds},
            # A curve of one epoch is a point; among longer ones points would only be in the way.
            mode="lines" if any(len(curve.epochs) > 1 for curve in curves) else "markers",
            line={"color": FAINT, "width": 1},
            hovertemplate=f"{called}%{{customdata}}: %{{y:{form}}}<extra></extra>",
        )
    )
    layout(made, 300, meta={"axes": {"epoch": "epoch", "seconds": "seconds of training"}})
    made.update_xaxes(title_text="epoch")
    if low_high := _range(curves, metric):
        made.update_yaxes(range=low_high)
    return made


def _range(curves: Sequence[Curve], metric: str) -> tuple[float, float] | None:
    """What to show of the y axis: the best third of the curves whole.

    A trial that diverges on its way, or begins badly, would flatten all others.
    """
    loss = metric in FALLING
    finite = [[v for v in curve.values[metric] if math.isfinite(v)] for curve in curves]
    ranked = sorted((min(values) if loss else -max(values), values) for values in finite if values)
    if not ranked:
        return None
    kept = [value for _, values in ranked[: math.ceil(len(ranked) / 3)] for value in values]
    low, high = min(kept), max(kept)
    margin = 0.04 * (high - low) or 0.01
    return low - margin, high + margin


def _curve(key: int | str, run: RunRecord, most: int) -> Curve:
    seconds = list(itertools.accumulate(epoch.seconds for epoch in run.epochs))
    last = len(run.epochs) - 1
    count = min(most, last + 1)
    kept = sorted({round(index * last / max(1, count - 1)) for index in range(count)})
    epochs = [run.epochs[index] for index in kept]
    measured = [name for name in PANELS if getattr(run.epochs[0], name) is not None]
    values = {
        metric: tuple(round(getattr(epoch, metric), 5) for epoch in epochs)
        for metric in measured[:MOST_PANELS]
    }
    return Curve(
        key,
        tuple(epoch.epoch for epoch in epochs),
        tuple(round(seconds[index], 2) for index in kept),
        values,
    )
