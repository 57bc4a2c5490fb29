"""Parallel coordinates: each trial a line over all sampled settings, to its objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from harness.metrics import get_sort_sign, format_objective
from harness.reports.parameter_axes import Factor, factors
from harness.reports.plots.scatter import focus, thinned, trained
from harness.reports.plots.style import FAINT, NEUTRAL, label, layout
from harness.tracking.types import StudyRun

MOST_DRAWN = 300
BEST_DRAWN = 10
"""More strong lines would cover all others."""
BINS = (
    (0.05, 1.0, 2.2),
    (0.15, 0.75, 1.5),
    (0.3, 0.5, 1.2),
    (0.5, 0.36, 1.0),
    (0.75, 0.26, 1.0),
    (1.0, 0.18, 1.0),
)
"""(quantile of the objective from the best, opacity, width in px): colours are the selection's."""
LETTERS = 8
"""Of a choice's name on its axis."""
CHIP = {"bgcolor": "rgba(100, 108, 118, 0.85)", "font": {"size": 10, "color": "#ffffff"}}
"""A choice's name stands amid the lines: it brings its own ground."""


@dataclass(frozen=True)
class Axis:
    name: str
    ends: tuple[str, str]
    """What stands below and above the axis."""
    choices: tuple[tuple[float, str], ...]
    """(height in [0, 1], name) of each value where they are few."""


@dataclass(frozen=True)
class Line:
    """One trial: its height in [0, 1] on every axis, and its value there as text."""

    number: int
    heights: tuple[float, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Parallel:
    """The settings' axes, the objective's last; `lines` best first.

    Empty where no trial has an objective or nothing was sampled.
    """

    axes: tuple[Axis, ...] = ()
    lines: tuple[Line, ...] = ()


def data(study: StudyRun) -> Parallel:
    """Complete and pruned trials. On the objective's axis bad ones stand at its end."""
    sign = get_sort_sign(study.objective)
    pairs = sorted(trained(study), key=lambda pair: (sign * pair[1], pair[0].number))
    found = factors(study)
    if not pairs or not found:
        return Parallel()
    complete = [value for run, value in pairs if run.state == "COMPLETE"]
    pruned = [value for run, value in pairs if run.state == "PRUNED"]
    low, high = focus(complete, pruned, study.objective)
    axes = [Axis(each.name, each.ends, _choices(each)) for each in found]
    values = [value for _, value in pairs]
    told = [f"{each:.3g}" if each < 1000 else f"{each:,.0f}" for each in (low, high)]
    ends = (
        f"{'≤ ' if min(values) < low else ''}{told[0]}",
        f"{'≥ ' if max(values) > high else ''}{told[1]}",
    )
    axes.append(Axis(study.objective.replace("/", " "), ends, ()))
    lines = []
    for run, value in pairs:
        if any(run.number not in each.positions for each in found):
            continue
        heights = [round(each.share(each.drawn(run.number)), 4) for each in found]
        heights.append(round(min(1.0, max(0.0, (value - low) / (high - low))), 4))
        texts = [*(each.shown[run.number] for each in found), format_objective(value, study.objective)]
        lines.append(Line(run.number, tuple(heights), tuple(texts)))
    return Parallel(tuple(axes), tuple(lines))


def figure(parallel: Parallel) -> go.Figure:
    made = go.Figure()
    drawn, hidden = thinned(parallel.lines, MOST_DRAWN, BEST_DRAWN)
    bins = _binned(parallel.lines)
    chosen = {line.number for line in drawn}
    for lines, (_, opacity, width) in zip(bins[::-1], BINS[::-1], strict=True):
        shown = [line for line in lines if line.number in chosen]
        made.add_trace(
            go.Scatter(
                **_columns(shown),
                mode="lines",
                line={"color": NEUTRAL, "width": width},
                opacity=opacity,
                hovertemplate="trial %{customdata}: %{text}<extra></extra>",
            )
        )
    meta = {"hidden": [{"trace": 0, **_columns(hidden)}]} if hidden else None
    last = max(1, len(parallel.axes) - 1)
    layout(
        made,
        380,
        margin={"l": 30, "r": 30, "t": 30, "b": 8},
        meta=meta,
        shapes=[_vertical(index) for index in range(len(parallel.axes))],
        annotations=[
            annotation
            for index, axis in enumerate(parallel.axes)
            for annotation in _annotations(index, axis)
        ],
    )
    made.update_xaxes(
        side="top",
        tickvals=list(range(len(parallel.axes))),
        ticktext=[label(axis.name, 24) for axis in parallel.axes],
        autotickangles=[0, -60],
        ticklabeloverflow="allow",
        range=[-0.02 * last, 1.02 * last],
        showgrid=False,
        fixedrange=True,
    )
    made.update_yaxes(visible=False, range=[-0.09, 1.09], fixedrange=True)
    return made


def _choices(factor: Factor) -> tuple[tuple[float, str], ...]:
    if not factor.apart:
        return ()
    return tuple((factor.share(position), text) for position, text in factor.ticks)


def _binned(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines that are ranked best first by the quantile bin of BINS; the best bin is never empty."""
    edges = [0, *(max(1, round(share * len(lines))) for share, _, _ in BINS)]
    return [list(lines[low:high]) for low, high in pairwise(edges)]


def _columns(lines: Sequence[Line]) -> dict[str, list[Any]]:
    """Lines as one, gaps between them."""
    x: list[int | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    texts: list[str | None] = []
    for line in lines:
        x += [*range(len(line.heights)), None]
        y += [*line.heights, None]
        numbers += [*[line.number] * len(line.heights), None]
        texts += [*map(label, line.texts), None]
    return {"x": x, "y": y, "customdata": numbers, "text": texts}


def _vertical(index: int) -> dict[str, Any]:
    line = {"color": FAINT, "width": 1}
    ends = {"x0": index, "x1": index, "y0": 0, "y1": 1}
    return {"type": "line", "layer": "below", "line": line, **ends}


def _annotations(index: int, axis: Axis) -> list[dict[str, Any]]:
    low, high = axis.ends
    below = {"y": 0, "text": label(low, LETTERS), "yanchor": "top"}
    above = {"y": 1, "text": label(high, LETTERS), "yanchor": "bottom"}
    choices = [{"y": height, "text": label(text, LETTERS), **CHIP} for height, text in axis.choices]
    placed = choices or [below, above]
    return [{"x": index, "showarrow": False, "font": {"size": 10}, **place} for place in placed]
