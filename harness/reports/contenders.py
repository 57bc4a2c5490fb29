"""The best trials with their 95 % intervals: how far ahead the winner really is."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from harness.intervals import wilson
from harness.reports.style import COLOURS, NEUTRAL, label, layout, whiskers
from harness.tracking.records import StudyRun, TestReading, right

SHOWN = 15


@dataclass(frozen=True)
class Contender:
    """One trial's accuracy on the validation part, with its 95 % interval."""

    number: int
    name: str
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Contenders:
    """Best first; `test` is the champion's accuracy on the test set, with its interval."""

    best: tuple[Contender, ...]
    test: Contender | None
    within: int
    """Complete trials whose accuracy lies in the champion's interval, the champion apart."""


def data(study: StudyRun, reading: TestReading | None) -> Contenders:
    found = []
    for run in study.best_first():
        correct, n = right(run.confusion)
        if n:
            found.append(
                Contender(run.number, run.spec.describe(), correct / n, *wilson(correct, n))
            )
    within = 0
    if found:
        within = sum(found[0].low <= each.accuracy <= found[0].high for each in found[1:])
    test = None
    if reading is not None:
        correct, n = right(reading.confusion)
        test = Contender(reading.number, "test", correct / n, *wilson(correct, n))
    return Contenders(tuple(found[:SHOWN]), test, within)


def figure(found: Contenders) -> go.Figure:
    made = go.Figure()
    rows = list(range(len(found.best)))
    made.add_trace(
        go.Scatter(
            x=[each.accuracy for each in found.best],
            y=rows,
            text=[
                f"{label(each.name)}<br>{each.accuracy:.4f} ({each.low:.4f} to {each.high:.4f})"
                for each in found.best
            ],
            customdata=[each.number for each in found.best],
            error_x=whiskers(
                [each.accuracy for each in found.best],
                [each.low for each in found.best],
                [each.high for each in found.best],
            ),
            mode="markers",
            marker={"color": NEUTRAL, "size": 8},
            name="validation",
            hovertemplate="trial %{customdata}, %{text}<extra></extra>",
        )
    )
    if found.test is not None:
        made.add_trace(
            go.Scatter(
                x=[found.test.accuracy],
                y=[0.3],
                error_x=whiskers([found.test.accuracy], [found.test.low], [found.test.high]),
                mode="markers",
                marker={"color": COLOURS[1], "size": 8, "symbol": "diamond"},
                name="the champion on the test set",
                hovertemplate="test: %{x:.4f}<extra></extra>",
            )
        )
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}
    layout(made, 110 + 22 * len(rows), showlegend=True, legend=legend, margin={"t": 34})
    made.update_yaxes(
        tickvals=rows,
        ticktext=[str(each.number) for each in found.best],
        range=[len(rows) - 0.5, -0.6],
        title_text="trial",
    )
    made.update_xaxes(title_text="accuracy, 95 % interval", tickformat=".1%")
    return made
