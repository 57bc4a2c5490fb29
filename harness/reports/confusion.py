"""The champion's confusion matrix: which class is taken for which."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from harness.reports.style import ACCENT, layout
from harness.tracking.records import RunRecord, StudyRun, TestReading


@dataclass(frozen=True)
class Confusion:
    """`counts` and `shares` by [true][predicted]; a share is of the true class's examples."""

    part: str
    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[float, ...], ...]


def data(study: StudyRun, champion: RunRecord, reading: TestReading | None) -> Confusion:
    counts = reading.confusion if reading else champion.confusion
    shares = tuple(tuple(n / max(1, sum(row)) for n in row) for row in counts)
    return Confusion("test" if reading else "validation", study.classes, counts, shares)


def figure(confusion: Confusion) -> go.Figure:
    few = len(confusion.names) <= 20
    made = go.Figure(
        go.Heatmap(
            z=confusion.shares,
            x=confusion.names,
            y=confusion.names,
            customdata=confusion.counts,
            text=confusion.counts,
            texttemplate="%{text}" if few else None,
            hovertemplate="%{y} taken for %{x}: %{customdata} (%{z:.1%})<extra></extra>",
            colorscale=[[0, "rgba(47, 129, 247, 0.03)"], [1, ACCENT]],
            showscale=False,
            xgap=1,
            ygap=1,
        )
    )
    layout(made, 140 + 44 * min(len(confusion.names), 20))
    made.update_yaxes(
        autorange="reversed", automargin=True, title_text="true", type="category", showgrid=False
    )
    made.update_xaxes(automargin=True, title_text="predicted", type="category", showgrid=False)
    return made
