"""The best trials with their 95 % intervals: how far ahead the winner really is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import plotly.graph_objects as go

from harness.analysis.tied_trials import TiedTrials
from harness.metrics import ACCURACY, Score
from harness.reports.plots.style import COLOURS, NEUTRAL, label, layout, whiskers
from harness.tracking.types import RunRecord, StudyRun, TestReading, count_correct

SHOWN = 15
Standing = Literal["champion", "smallest", "tied", "apart", "untested", "unknown"]
"""Beside the champion: `smallest` is of those that tie with it."""
MARKS = {
    "champion": ("star", "the champion"),
    "smallest": ("square", "ties with it, the smallest"),
    "tied": ("circle", "ties with it"),
    "apart": ("circle-open", "told apart"),
    "untested": ("triangle-up-open", "not compared"),
    "unknown": ("circle", "validation"),
}
"""Each standing's symbol and name."""


@dataclass(frozen=True)
class Contender:
    """One trial's score on the validation part, with its 95 % interval."""

    number: int
    name: str
    score: float
    low: float
    high: float
    standing: Standing = "unknown"


@dataclass(frozen=True)
class Contenders:
    """Best first; `test` is the champion's score on the test set, with its interval."""

    best: tuple[Contender, ...]
    """SHOWN at most, and the smallest of those that tie with the champion."""
    test: Contender | None
    within: int
    """Complete trials whose score lies in the champion's interval, the champion apart."""
    measure: Score = ACCURACY


def data(
    study: StudyRun, reading: TestReading | None, ties: TiedTrials | None = None
) -> Contenders:
    found, score = [], study.score
    for run in study.rank_trials():
        between = score.compute_interval(run)
        if between:
            correct, n = count_correct(run.confusion)
            value, standing = correct / n if n else run.score, _standing(run, ties)
            found.append(Contender(run.number, run.spec.describe(), value, *between, standing))
    within = 0
    if found:
        within = sum(found[0].low <= each.score <= found[0].high for each in found[1:])
    test = None
    if reading is not None and (between := score.compute_interval(reading)):
        test = Contender(reading.number, "test", reading.score, *between)
    pointed = [each for each in found[SHOWN:] if each.standing == "smallest"]
    return Contenders((*found[:SHOWN], *pointed), test, within, score)


def figure(found: Contenders) -> go.Figure:
    made, score = go.Figure(), found.measure
    rows = list(range(len(found.best)))
    for standing, (symbol, name) in MARKS.items():
        shown = [(row, each) for row, each in enumerate(found.best) if each.standing == standing]
        if not shown:
            continue
        made.add_trace(
            go.Scatter(
                x=[each.score for _, each in shown],
                y=[row for row, _ in shown],
                text=[
                    f"{label(each.name)}<br>{score.format_value(each.score)} "
                    f"({score.format_range((each.low, each.high))})"
                    for _, each in shown
                ],
                customdata=[each.number for _, each in shown],
                error_x=whiskers(
                    [each.score for _, each in shown],
                    [each.low for _, each in shown],
                    [each.high for _, each in shown],
                ),
                mode="markers",
                marker={"color": NEUTRAL, "size": 8, "symbol": symbol},
                name=name,
                hovertemplate=f"trial %{{customdata}}, {name}<br>%{{text}}<extra></extra>",
            )
        )
    if found.test is not None:
        made.add_trace(
            go.Scatter(
                x=[found.test.score],
                y=[0.3],
                error_x=whiskers([found.test.score], [found.test.low], [found.test.high]),
                mode="markers",
                marker={"color": COLOURS[1], "size": 8, "symbol": "diamond"},
                name="on the test set",
                hovertemplate=f"test: %{{x:{score.plotly_hover}}}<extra></extra>",
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
    made.update_xaxes(title_text=f"{score.full_name}, 95 % interval", **score.plotly_axis)
    return made


def _standing(run: RunRecord, ties: TiedTrials | None) -> Standing:
    if ties is None:
        return "unknown"
    if run.uid == ties.champion.uid:
        return "champion"
    if run.number in ties.p:
        return "smallest" if run.uid == ties.smallest.uid else "tied"
    return "apart" if run.number in ties.apart else "untested"
