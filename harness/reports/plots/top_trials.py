"""The best trials with their 95 % intervals, marked by their difference from the champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import plotly.graph_objects as go

from harness.analysis.tied_trials import TiedTrials
from harness.metrics import ACCURACY, Score
from harness.reports.plots.base import Plot
from harness.reports.plots.style import (
    INK,
    LEGEND_ABOVE,
    NEUTRAL,
    apply_layout,
    build_error_bars,
    escape_label,
)
from harness.results import count_correct
from harness.tracking.test_reading import TestReading
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

MAX_TRIALS = 15
Status = Literal["champion", "tied", "different", "untested", "unknown"]
"""Compared with the champion."""
MARKS = {
    "champion": ("star", "champion"),
    "tied": ("circle", "statistically indistinguishable"),
    "different": ("circle-open", "significantly different"),
    "untested": ("triangle-up-open", "not compared"),
    "unknown": ("circle", "validation"),
}
"""The symbol and the legend of each status."""


@dataclass(frozen=True)
class TopTrial:
    """One trial's score on the validation set, with its 95 % interval."""

    number: int
    name: str
    score: float
    low: float
    high: float
    status: Status = "unknown"


@dataclass(frozen=True)
class TopTrials:
    trials: tuple[TopTrial, ...]
    """Best first: MAX_TRIALS at most."""
    test: TopTrial | None
    """The champion on the test set."""
    within: int
    """Other complete trials whose score lies in the champion's interval."""
    score: Score = ACCURACY


def build_plots(summary: Summary) -> list[Plot]:
    """Return the plot of any study whose trials have intervals."""
    top = rank_top_trials(summary.study, summary.reading, summary.tied_trials)
    if not top.trials:
        return []
    return [
        Plot("contenders", "The best trials, with 95 % intervals", draw_top_trials(top), wide=True)
    ]


def rank_top_trials(
    study: StudyRun, reading: TestReading | None, ties: TiedTrials | None = None
) -> TopTrials:
    trials, score = [], study.score
    for run in study.rank_trials():
        interval = score.compute_interval(run)
        if interval:
            correct, n = count_correct(run.confusion)
            value = correct / n if n and score.is_accuracy else run.score
            status = _get_status(run, ties)
            trials.append(TopTrial(run.number, run.spec.describe(), value, *interval, status))
    within = 0
    if trials:
        within = sum(trials[0].low <= each.score <= trials[0].high for each in trials[1:])
    test = None
    if reading is not None and (interval := score.compute_interval(reading)):
        test = TopTrial(reading.number, "test", reading.score, *interval)
    return TopTrials(tuple(trials[:MAX_TRIALS]), test, within, score)


def draw_top_trials(top: TopTrials) -> go.Figure:
    figure, score = go.Figure(), top.score
    for status, (symbol, name) in MARKS.items():
        rows = [(row, each) for row, each in enumerate(top.trials) if each.status == status]
        if not rows:
            continue
        figure.add_trace(
            go.Scatter(
                x=[each.score for _, each in rows],
                y=[row for row, _ in rows],
                text=[
                    f"{escape_label(each.name)}<br>{score.format_value(each.score)} "
                    f"({score.format_range((each.low, each.high))})"
                    for _, each in rows
                ],
                customdata=[each.number for _, each in rows],
                error_x=build_error_bars(
                    [each.score for _, each in rows],
                    [each.low for _, each in rows],
                    [each.high for _, each in rows],
                ),
                mode="markers",
                marker={"color": NEUTRAL, "size": 8, "symbol": symbol},
                name=name,
                hovertemplate=f"trial %{{customdata}}, {name}<br>%{{text}}<extra></extra>",
            )
        )
    numbers = [each.number for each in top.trials]
    if top.test is not None and top.test.number in numbers:
        figure.add_trace(
            go.Scatter(
                x=[top.test.score],
                y=[numbers.index(top.test.number) + 0.3],  # below the trial that was tested
                error_x=build_error_bars([top.test.score], [top.test.low], [top.test.high]),
                customdata=[top.test.number],
                mode="markers",
                marker={"color": INK, "size": 10, "symbol": "diamond"},
                name="on the test set",
                hovertemplate=f"test: %{{x:{score.plotly_hover}}}<extra></extra>",
            )
        )
    count = len(top.trials)
    apply_layout(figure, 110 + 22 * count, showlegend=True, legend=LEGEND_ABOVE, margin={"t": 34})
    figure.update_layout(meta={"rows": [each.number for each in top.trials]})
    figure.update_yaxes(
        tickvals=list(range(count)),
        ticktext=[str(each.number) for each in top.trials],
        range=[count - 0.5, -0.6],
        title_text="trial",
    )
    figure.update_xaxes(title_text=f"{score.full_name}, 95 % interval", **score.plotly_axis)
    return figure


def _get_status(run: RunRecord, ties: TiedTrials | None) -> Status:
    if ties is None:
        return "unknown"
    if run.uid == ties.champion.uid:
        return "champion"
    if run.number in ties.p_values:
        return "tied"
    return "different" if run.number in ties.distinguishable else "untested"
