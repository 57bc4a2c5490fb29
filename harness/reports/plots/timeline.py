"""What ran where, and when: a lane for each worker, several where it trained several at once.

The workers of a cluster's node, `node/worker`, stand together; every other node has a shade.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import plotly.graph_objects as go

from harness.analysis.formatting import duration
from harness.reports.plots.style import FAINT, SHADE, STATES, label, layout
from harness.tracking.types import RunRecord, State, StudyRun

LONGEST_GAP = 600.0
"""Seconds: a longer time without any trial is cut out; the study was continued later."""
CUT = 0.02
"""Of the time that is shown, what is left of such a gap."""
UNITS = ((3 * 60, 1, "seconds"), (3 * 3600, 60, "minutes"), (float("inf"), 3600, "hours"))
"""(seconds in all below which it is taken, its seconds, its name)."""
UNKNOWN = "unknown"
LABEL = 14
"""px: labels that stand closer overlap."""


@dataclass(frozen=True)
class Bar:
    """One trial, or an attempt at one; times in the timeline's unit since the first start."""

    number: int
    state: State
    worker: str
    lane: int
    """Counted from 0, from the top."""
    start: float
    end: float
    seconds: float


@dataclass(frozen=True)
class Timeline:
    """`bars` by start. Attempts that no worker took are left out."""

    bars: tuple[Bar, ...]
    lanes: tuple[tuple[str, int, int], ...]
    """(worker, its first lane, its number of lanes), from the top; those of a node together."""
    cuts: tuple[tuple[float, float], ...]
    """(time, seconds cut out there)."""
    unit: str

    @property
    def nodes(self) -> list[tuple[str, int, int]]:
        """(node, its first lane, its number of lanes); "" for workers of the driver's machine."""
        together = groupby(self.lanes, lambda lane: _node(lane[0]))
        groups = [(node, list(lanes)) for node, lanes in together]
        return [(node, own[0][1], sum(count for *_, count in own)) for node, own in groups]


def data(study: StudyRun) -> Timeline:
    spans = [(run, *span) for run in study.trials if (span := _span(run))]
    spans.sort(key=lambda each: (each[1], each[0].number))
    if not spans:
        return Timeline((), (), (), "seconds")
    gaps = _gaps([(start, end) for _, start, end in spans])
    first = spans[0][1]
    lasted = max(end for *_, end in spans) - first - sum(length for _, length in gaps)
    per, unit = next((per, unit) for below, per, unit in UNITS if lasted < below)
    left = min(CUT * lasted, LONGEST_GAP)

    def since(when: float) -> float:
        passed = [length - left for start, length in gaps if start < when]
        return round((when - first - sum(passed)) / per, 4)

    lanes, own = _lanes(spans)
    bars = [
        Bar(
            run.number,
            run.state,
            run.worker or UNKNOWN,
            own[run.uid],
            since(start),
            since(end),
            end - start,
        )
        for run, start, end in spans
    ]
    cuts = [(since(start) + left / per / 2, length) for start, length in gaps]
    return Timeline(tuple(bars), lanes, tuple(cuts), unit)


def figure(timeline: Timeline) -> go.Figure:
    made = go.Figure()
    count = sum(lanes for _, _, lanes in timeline.lanes)
    row = max(4.0, min(26.0, 420 / max(1, count)))
    for state, colour in STATES.items():
        bars = [bar for bar in timeline.bars if bar.state == state]
        if bars:
            made.add_trace(
                go.Scatter(
                    **_columns(bars),
                    mode="lines",
                    line={"color": colour, "width": 0.66 * row},
                    name=state.lower(),
                    hovertemplate=f"trial %{{customdata}}, {state.lower()}, %{{text}}"
                    "<extra></extra>",
                )
            )
    layout(
        made,
        round(84 + row * max(1, count)),
        margin={"l": 8, "r": 12, "t": 34, "b": 40},
        showlegend=True,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        shapes=[*_shades(timeline), *(_dotted(when) for when, _ in timeline.cuts)],
    )
    end = max((bar.end for bar in timeline.bars), default=1.0) or 1.0
    made.update_xaxes(title_text=_title(timeline), range=[-0.01 * end, 1.01 * end])
    ticks = _ticks(timeline, row)
    made.update_yaxes(
        tickvals=[middle for middle, _ in ticks],
        ticktext=[text for _, text in ticks],
        range=[count - 0.5, -0.5],
        showgrid=False,
        ticksuffix=" ",
    )
    return made


def _span(run: RunRecord) -> tuple[float, float] | None:
    """Unix times of a trial's training, from its first batch where that is known."""
    if not run.worker and not run.epochs:
        return None
    start = run.started
    if run.epochs:
        start = max(start, run.epochs[0].time - run.epochs[0].seconds)
    end = run.ended if run.ended is not None else run.epochs[-1].time if run.epochs else start
    return (start, max(start, end))


def _gaps(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """(start, seconds) of every long time without a trial; `spans` by their start."""
    found, reached = [], spans[0][1]
    for start, end in spans:
        if start - reached > LONGEST_GAP:
            found.append((reached, start - reached))
        reached = max(reached, end)
    return found


def _lanes(
    spans: Iterable[tuple[RunRecord, float, float]],
) -> tuple[tuple[tuple[str, int, int], ...], dict[str, int]]:
    """Each worker's lanes, and each run's lane by its uid: the lane that was freed first."""
    by_worker: dict[str, list[tuple[RunRecord, float, float]]] = {}
    for span in spans:
        by_worker.setdefault(span[0].worker, []).append(span)
    lanes, own, first = [], {}, 0
    for worker in sorted(by_worker, key=_by_number):
        free: list[tuple[float, int]] = []  # (when, lane)
        for run, start, end in by_worker[worker]:
            lane = heapq.heappop(free)[1] if free and free[0][0] <= start else len(free)
            own[run.uid] = first + lane
            heapq.heappush(free, (end, lane))
        lanes.append((worker or UNKNOWN, first, len(free)))
        first += len(free)
    return tuple(lanes), own


def _by_number(worker: str) -> list[str | int]:
    """`worker 10` after `worker 9`, and `node-10/1` after `node-9/2`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", worker)]


def _node(worker: str) -> str:
    return worker.rpartition("/")[0]


def _ticks(timeline: Timeline, row: float) -> list[tuple[float, str]]:
    """(lane, label) of the workers, or of their nodes where workers stand too close; `row` in px.

    A node's name stands at its first worker only: `node-1/0`, then `/1`.
    """
    least = min((count for *_, count in timeline.lanes), default=1)
    if least * row < LABEL and len(timeline.nodes) > 1:
        found = [(node or "here", first, count) for node, first, count in timeline.nodes]
        wanted = [(first + (count - 1) / 2, label(name, 24)) for name, first, count in found]
    else:
        wanted, before = [], ""
        for worker, first, count in timeline.lanes:
            node, _, number = worker.rpartition("/")
            name = label(node, 20) if node != before else ""
            text = f"{name}/{number}" if node else label(worker, 24)
            wanted.append((first + (count - 1) / 2, text))
            before = node
    kept: list[tuple[float, str]] = []
    for lane, text in wanted:
        if not kept or (lane - kept[-1][0]) * row >= LABEL:
            kept.append((lane, text))
    return kept


def _shades(timeline: Timeline) -> list[dict[str, Any]]:
    """A band behind every other node."""
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


def _columns(bars: Sequence[Bar]) -> dict[str, list[Any]]:
    """Bars as one broken line; a point in the middle of each, where one hovers."""
    columns: dict[str, list[Any]] = {"x": [], "y": [], "customdata": [], "text": []}
    for bar in bars:
        columns["x"] += [bar.start, (bar.start + bar.end) / 2, bar.end, None]
        columns["y"] += [*[bar.lane] * 3, None]
        columns["customdata"] += [*[bar.number] * 3, None]
        columns["text"] += [*[f"{duration(bar.seconds)} on {label(bar.worker)}"] * 3, None]
    return columns


def _dotted(when: float) -> dict[str, Any]:
    line = {"color": FAINT, "width": 1.5, "dash": "dot"}
    return {"type": "line", "x0": when, "x1": when, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _title(timeline: Timeline) -> str:
    """Of the time axis; two lines, for a phone is narrow."""
    title = f"{timeline.unit} since the first start"
    if not timeline.cuts:
        return title
    left_out = duration(sum(length for _, length in timeline.cuts))
    return f"{title}<br>dotted: {left_out} without a trial left out"
