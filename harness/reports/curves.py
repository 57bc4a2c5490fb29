"""Learning curves: every trial faint, the best few strong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from harness.reports.style import COLOURS, FAINT, layout
from harness.tracking.records import RunRecord, StudyRun

PANELS = (
    ("train_loss", "training loss"),
    ("val_loss", "validation loss"),
    ("train_accuracy", "training accuracy"),
    ("val_accuracy", "validation accuracy"),
)


@dataclass(frozen=True)
class Curve:
    """One trial's curves: {metric: value at each epoch}."""

    name: str
    epochs: tuple[int, ...]
    values: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Curves:
    strong: tuple[Curve, ...]
    faint: tuple[Curve, ...]


def data(study: StudyRun) -> Curves:
    """The best trials' curves, best first, and all others'. A pruned trial's ends where it did."""
    best = study.best_first()[: len(COLOURS)]
    chosen = {run.uid for run in best}
    others = [run for run in study.trials if run.uid not in chosen and run.epochs]
    return Curves(tuple(map(_curve, best)), tuple(map(_curve, others)))


def figure(curves: Curves) -> go.Figure:
    made = make_subplots(
        rows=2, cols=2, subplot_titles=[title for _, title in PANELS], vertical_spacing=0.14
    )
    for index, (metric, _) in enumerate(PANELS):
        row, column = index // 2 + 1, index % 2 + 1
        x, y = _joined(curves.faint, metric)
        made.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines",
                line={"color": FAINT, "width": 1},
                hoverinfo="skip",
                name=f"{len(curves.faint)} others",
                legendgroup="others",
                showlegend=index == 0 and bool(curves.faint),
            ),
            row,
            column,
        )
        for curve, colour in zip(curves.strong, COLOURS, strict=False):
            made.add_trace(
                go.Scatter(
                    x=curve.epochs,
                    y=curve.values[metric],
                    mode="lines+markers" if len(curve.epochs) == 1 else "lines",
                    line={"color": colour, "width": 2},
                    name=curve.name,
                    legendgroup=curve.name,
                    showlegend=index == 0,
                ),
                row,
                column,
            )
    longest = max((max(curve.epochs) for curve in (*curves.strong, *curves.faint)), default=1)
    made.update_xaxes(tick0=0, dtick=max(1, round(longest / 6)))
    made.update_xaxes(title_text="epoch", row=2)
    return layout(made, 680, legend={"orientation": "h", "y": -0.12})


def _curve(run: RunRecord) -> Curve:
    values = {metric: tuple(getattr(epoch, metric) for epoch in run.epochs) for metric, _ in PANELS}
    return Curve(f"trial {run.number}", tuple(epoch.epoch for epoch in run.epochs), values)


def _joined(curves: Sequence[Curve], metric: str) -> tuple[list[int | None], list[float | None]]:
    """Many lines as one trace, gaps between them: a page of 1,000 traces does not open."""
    x: list[int | None] = []
    y: list[float | None] = []
    for curve in curves:
        x += [*curve.epochs, None]
        y += [*curve.values[metric], None]
    return x, y
