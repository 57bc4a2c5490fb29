"""Timeline: when each worker trained which trial.

A worker has one lane, or several if it trained several trials at once. The workers of a cluster's
node, `node/worker`, are next to each other, and every other node is shaded.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from harness.analysis.formatting import format_duration
from harness.reports.plots.base import Plot
from harness.reports.plots.style import (
    FAINT,
    LEGEND_ABOVE,
    SHADE,
    STATES,
    apply_layout,
    escape_label,
)
from harness.tracking.types import RunRecord, State, StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

LONGEST_GAP = 600.0
"""Seconds without any trial above which the pause is cut out: the study was continued later."""
CUT = 0.02
"""The length of a cut, as a share of the time shown."""
UNITS = ((3 * 60, 1, "seconds"), (3 * 3600, 60, "minutes"), (float("inf"), 3600, "hours"))
"""(total seconds below which the unit is used, seconds per unit, name)."""
UNKNOWN = "unknown"
LABEL_HEIGHT = 14
"""In px: labels closer than this overlap."""


@dataclass(frozen=True)
class Bar:
    """One trial, or one attempt at it; times are in the timeline's unit since the first start."""

    number: int
    state: State
    worker: str
    lane: int
    """From 0 at the top."""
    start: float
    end: float
    seconds: float


@dataclass(frozen=True)
class Timeline:
    """`bars` are sorted by start; attempts that never reached a worker are left out."""

    bars: tuple[Bar, ...]
    lanes: tuple[tuple[str, int, int], ...]
    """(worker, first lane, number of lanes) from the top; sorted by node."""
    cuts: tuple[tuple[float, float], ...]
    """(time, seconds cut out there)."""
    unit: str

    @property
    def nodes(self) -> list[tuple[str, int, int]]:
        """(node, first lane, number of lanes); "" for workers on the driver's machine."""
        by_node = groupby(self.lanes, lambda lane: _get_node(lane[0]))
        groups = [(node, list(lanes)) for node, lanes in by_node]
        return [(node, lanes[0][1], sum(count for *_, count in lanes)) for node, lanes in groups]


def build_plots(summary: Summary) -> list[Plot]:
    """Return the timeline of any study."""
    timeline = compute_timeline(summary.study)
    is_cluster = any(node for node, *_ in timeline.nodes)
    title = f"Timeline of the workers{' (node/worker)' if is_cluster else ''}"
    return [Plot("timeline", title, draw_timeline(timeline), wide=True)]


def compute_timeline(study: StudyRun) -> Timeline:
    spans = [(run, *span) for run in study.trials if (span := _find_span(run))]
    spans.sort(key=lambda each: (each[1], each[0].number))
    if not spans:
        return Timeline((), (), (), "seconds")
    gaps = _find_gaps([(start, end) for _, start, end in spans])
    first = spans[0][1]
    duration_shown = max(end for *_, end in spans) - first - sum(length for _, length in gaps)
    unit_seconds, unit = next((per, unit) for below, per, unit in UNITS if duration_shown < below)
    cut_length = min(CUT * duration_shown, LONGEST_GAP)

    def to_axis(when: float) -> float:
        cut = [length - cut_length for start, length in gaps if start < when]
        return round((when - first - sum(cut)) / unit_seconds, 4)

    lanes, lane_of = _assign_lanes(spans)
    bars = [
        Bar(
            run.number,
            run.state,
            run.worker or UNKNOWN,
            lane_of[run.uid],
            to_axis(start),
            to_axis(end),
            end - start,
        )
        for run, start, end in spans
    ]
    cuts = [(to_axis(start) + cut_length / unit_seconds / 2, length) for start, length in gaps]
    return Timeline(tuple(bars), lanes, tuple(cuts), unit)


def draw_timeline(timeline: Timeline) -> go.Figure:
    figure = go.Figure()
    count = sum(lanes for _, _, lanes in timeline.lanes)
    row = max(4.0, min(26.0, 420 / max(1, count)))
    for state, colour in STATES.items():
        bars = [bar for bar in timeline.bars if bar.state == state]
        if bars:
            figure.add_trace(
                go.Scatter(
                    **_build_columns(bars),
                    mode="lines",
                    line={"color": colour, "width": 0.66 * row},
                    name=state.lower(),
                    hovertemplate=f"trial %{{customdata}}, {state.lower()}, %{{text}}"
                    "<extra></extra>",
                )
            )
    apply_layout(
        figure,
        round(84 + row * max(1, count)),
        margin={"l": 8, "r": 12, "t": 34, "b": 40},
        showlegend=True,
        legend=LEGEND_ABOVE,
        shapes=[*_build_shades(timeline), *(_build_cut_line(when) for when, _ in timeline.cuts)],
    )
    end = max((bar.end for bar in timeline.bars), default=1.0) or 1.0
    figure.update_xaxes(title_text=_format_axis_title(timeline), range=[-0.01 * end, 1.01 * end])
    ticks = _build_ticks(timeline, row)
    figure.update_yaxes(
        tickvals=[middle for middle, _ in ticks],
        ticktext=[text for _, text in ticks],
        range=[count - 0.5, -0.5],
        showgrid=False,
        ticksuffix=" ",
    )
    return figure


def _find_span(run: RunRecord) -> tuple[float, float] | None:
    """Return the Unix times of a trial's training, from its first batch if that was recorded."""
    if not run.worker and not run.epochs:
        return None
    start = run.started
    if run.epochs:
        start = max(start, run.epochs[0].time - run.epochs[0].seconds)
    end = run.ended if run.ended is not None else run.epochs[-1].time if run.epochs else start
    return (start, max(start, end))


def _find_gaps(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return (start, seconds) of every long pause; `spans` are sorted by start."""
    gaps, latest = [], spans[0][1]
    for start, end in spans:
        if start - latest > LONGEST_GAP:
            gaps.append((latest, start - latest))
        latest = max(latest, end)
    return gaps


def _assign_lanes(
    spans: Iterable[tuple[RunRecord, float, float]],
) -> tuple[tuple[tuple[str, int, int], ...], dict[str, int]]:
    """Return each worker's lanes, and each run's lane by its uid."""
    by_worker: dict[str, list[tuple[RunRecord, float, float]]] = {}
    for span in spans:
        by_worker.setdefault(span[0].worker, []).append(span)
    lanes, lane_of, first = [], {}, 0
    for worker in sorted(by_worker, key=_split_numbers):
        free: list[tuple[float, int]] = []  # (time, lane); a trial takes the lane freed first
        for run, start, end in by_worker[worker]:
            lane = heapq.heappop(free)[1] if free and free[0][0] <= start else len(free)
            lane_of[run.uid] = first + lane
            heapq.heappush(free, (end, lane))
        lanes.append((worker or UNKNOWN, first, len(free)))
        first += len(free)
    return tuple(lanes), lane_of


def _split_numbers(worker: str) -> list[str | int]:
    """Return a key that sorts `worker 10` after `worker 9`, and `node-10/1` after `node-9/2`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", worker)]


def _get_node(worker: str) -> str:
    return worker.rpartition("/")[0]


def _build_ticks(timeline: Timeline, row: float) -> list[tuple[float, str]]:
    """Return (lane, label) of the workers, or of their nodes if the workers are too close.

    `row` is the height of a lane in px. Only a node's first worker has the node's name: `node-1/0`,
    then `/1`.
    """
    least = min((count for *_, count in timeline.lanes), default=1)
    if least * row < LABEL_HEIGHT and len(timeline.nodes) > 1:
        ticks = [
            (first + (count - 1) / 2, escape_label(node or "here", 24))
            for node, first, count in timeline.nodes
        ]
    else:
        ticks, previous = [], ""
        for worker, first, count in timeline.lanes:
            node, _, number = worker.rpartition("/")
            name = escape_label(node, 20) if node != previous else ""
            text = f"{name}/{number}" if node else escape_label(worker, 24)
            ticks.append((first + (count - 1) / 2, text))
            previous = node
    visible: list[tuple[float, str]] = []
    for lane, text in ticks:
        if not visible or (lane - visible[-1][0]) * row >= LABEL_HEIGHT:
            visible.append((lane, text))
    return visible


def _build_shades(timeline: Timeline) -> list[dict[str, Any]]:
    """Return a band behind every other node."""
    return [
        {
            "type": "rect",
            "layer": "below",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": first - 0.5,
            "y1": first + count - 0.5,
            "fillcolor": SHADE,
            "line": {"width": 0},
        }
        for _, first, count in timeline.nodes[1::2]
    ]


def _build_columns(bars: Sequence[Bar]) -> dict[str, list[Any]]:
    """Return bars as one broken line, each with a point in the middle for the hover text."""
    columns: dict[str, list[Any]] = {"x": [], "y": [], "customdata": [], "text": []}
    for bar in bars:
        columns["x"] += [bar.start, (bar.start + bar.end) / 2, bar.end, None]
        columns["y"] += [*[bar.lane] * 3, None]
        columns["customdata"] += [*[bar.number] * 3, None]
        columns["text"] += [
            *[f"{format_duration(bar.seconds)} on {escape_label(bar.worker)}"] * 3,
            None,
        ]
    return columns


def _build_cut_line(when: float) -> dict[str, Any]:
    line = {"color": FAINT, "width": 1.5, "dash": "dot"}
    return {"type": "line", "x0": when, "x1": when, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _format_axis_title(timeline: Timeline) -> str:
    """Return the title of the time axis; two lines, because a phone is narrow."""
    title = f"{timeline.unit} since the first trial started"
    if not timeline.cuts:
        return title
    pauses = format_duration(sum(length for _, length in timeline.cuts))
    return f"{title}<br>dotted: {pauses} without trials cut out"
