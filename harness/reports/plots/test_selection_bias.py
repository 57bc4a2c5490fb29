"""What choosing on the test set would cost: in words, in a table, and split by split."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import plotly.graph_objects as go

from harness.analysis.formatting import interval
from harness.analysis.test_selection_bias import SPLITS, Halves, TestSelectionBias
from harness.reports.plots.style import COLOURS, INK, NEUTRAL, layout
from harness.reports.rows import Row, Table
from harness.tracking.types import RunRecord, StudyRun

BARS = 40


def says(luck: TestSelectionBias) -> str:
    (here, there), (low, high) = luck.best.means, luck.best.range
    mine, other = luck.champion.means
    return (
        f"Chosen on a random half of the test examples ({luck.half:,}), the best of {luck.trials} "
        f"trials reads {here:.4f} there and {there:.4f} on the other half: "
        f"{_points(here - there)} points of luck (5 % to 95 % of {SPLITS:,} splits: "
        f"{_points(low)} to {_points(high)}). The trial that validation chose: {mine:.4f} and "
        f"{other:.4f}."
    )


def table(study: StudyRun, champion: RunRecord, names: Mapping[int, str]) -> Table:
    """The best trial of each part, with its accuracy on both; `names` of trials, by number."""
    readings = {reading.number: reading for reading in study.readings}
    read = {number: reading.accuracy for number, reading in readings.items()}
    runs = {run.number: run for run in study.rank_trials() if run.number in read}
    top = max(read[number] for number in runs)
    equals = sorted(number for number in runs if read[number] == top)
    best = champion.number if champion.number in equals else equals[0]
    also = f" (as {len(equals) - 1} more)" if len(equals) > 1 else ""  # on the test part
    rows = [("validation", champion.number), (f"test{also}", best)]
    if best == champion.number:
        rows = [(f"both{also}", best)]
    return Table(
        ("best by", "trial", "validation accuracy", "test accuracy"),
        tuple(
            Row(
                (number,),
                (
                    called,
                    f"{number} · {names[number]}" if number in names else str(number),
                    _accuracy(runs[number]),
                    f"{read[number]:.4f}{interval(readings[number].confusion)}",
                ),
            )
            for called, number in rows
        ),
    )


def figure(luck: TestSelectionBias) -> go.Figure:
    """Bars of splits by the points that the half that chose has above the other."""
    made = go.Figure()
    width, champion, best = bars(luck)
    for name, halves, found, colour in (
        ("the trial that validation chose", luck.champion, champion, NEUTRAL),
        ("the best on one half", luck.best, best, COLOURS[1]),
    ):
        mean = 100 * (halves.means[0] - halves.means[1])
        made.add_trace(
            go.Bar(
                x=[100 * place for place in found],
                y=list(found.values()),
                width=100 * width,
                name=name,
                marker={"color": colour, "opacity": 0.6, "line": {"width": 0}},
                hovertemplate=f"{name}<br>%{{x:+.2f}} points: %{{y}} splits<extra></extra>",
            )
        )
        made.add_vline(x=mean, line={"color": colour, "width": 2, "dash": "dot"})
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}
    layout(made, 300, showlegend=True, legend=legend, margin={"t": 34}, barmode="overlay")
    made.update_xaxes(
        title_text="points above the other half", zeroline=True, zerolinecolor=INK, zerolinewidth=1
    )
    made.update_yaxes(title_text="splits")
    return made


def bars(luck: TestSelectionBias) -> tuple[float, dict[float, int], dict[float, int]]:
    """The width of a bar; splits by the middle of the bar that their gap falls into, rising: of
    the champion, of the best.

    A trial's gap changes by two examples at a time, from an even or an odd number on. So a bar is
    as wide as an even number of them, and begins between two.
    """
    example = 1 / luck.half
    gaps = [*luck.best.gaps, *luck.champion.gaps]
    width = 2 * example * max(1, math.ceil((max(gaps) - min(gaps)) / (2 * example) / BARS))

    def counted(halves: Halves) -> dict[float, int]:
        found = Counter(math.floor((gap + example / 2) / width) for gap in halves.gaps)
        return {(bar + 0.5) * width - example / 2: found[bar] for bar in sorted(found)}

    return width, counted(luck.champion), counted(luck.best)


def _points(share: float) -> str:
    """`0.34`, of an accuracy's share: no `-0.00`."""
    return f"{round(100 * share, 2) + 0.0:.2f}"


def _accuracy(run: RunRecord) -> str:
    return f"{run.best.val_accuracy:.4f}{interval(run.confusion)}" if run.best else ""
