"""Trials as points: which of them a figure draws, and the range of its objective axis.

A page whose figures have thousands of SVG nodes does not open on a phone. So a figure draws the
best points and an even choice of the rest. The others are in `layout.meta["hidden"]`, a list of
{"trace": index, "x": [...], "y": [...], "customdata": [...], "text": [...]}; the page draws them
when they are selected.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import plotly.graph_objects as go

from harness.metrics import ACCURACY, IN_TARGET_UNITS, OBJECTIVE_NAMES, Score, get_sort_sign
from harness.reports.plots.style import PERCENT, STATES, escape_label
from harness.results import Objective
from harness.tracking.types import RunRecord, StudyRun

MAX_DRAWN = 400
BEST_DRAWN = 100
"""The best trials among those drawn."""
AXIS_REACH = 3
"""The length of an axis, in distances between the best and the median complete trial."""
SAME_SHARE = 0.004
"""Points that are this share of the axis apart are on top of each other."""
SAME_STEP, MAX_SAME = 0.014, 9
"""The distance of the same points as a share of the axis, and how many lie beside each other."""
SCORES = dict.fromkeys(IN_TARGET_UNITS, Score("regression"))

T = TypeVar("T")


@dataclass(frozen=True)
class Point:
    """One trial in a scatter plot."""

    number: int
    x: float
    y: float
    text: str = ""
    """Hover text beside the number and y, not yet escaped."""
    complete: bool = True
    """False: pruned."""


def get_objective_value(run: RunRecord, objective: Objective) -> float | None:
    """Return the objective at the best epoch of a complete or pruned trial."""
    value = run.objective_value(objective)
    if run.state not in ("COMPLETE", "PRUNED") or value is None or not math.isfinite(value):
        return None
    return value


def format_objective_title(objective: Objective) -> str:
    """Return an axis title."""
    return f"validation {OBJECTIVE_NAMES[objective]}"


def get_objective_axis(objective: Objective) -> dict[str, Any]:
    """Return options of a Plotly axis of the objective."""
    is_share = objective == "val/accuracy"
    return {
        "title_text": format_objective_title(objective),
        "tickformat": PERCENT if is_share else None,
    }


def get_objective_format(objective: Objective) -> str:
    """Return Plotly's number format."""
    return SCORES.get(objective, ACCURACY).plotly_hover


def format_objective_hover(objective: Objective) -> str:
    """Return Plotly's hover template of y."""
    return f"{format_objective_title(objective)} %{{y:{get_objective_format(objective)}}}"


def compute_axis_range(
    complete: Sequence[float], others: Sequence[float], objective: Objective
) -> tuple[float, float]:
    """Return the axis range of the good trials, so that bad trials do not compress it.

    It reaches from the best trial AXIS_REACH times as far as the median complete trial, plus a
    margin. `others` are the values of pruned trials.
    """
    values = [*complete, *others]
    if not values:
        return (0.0, 1.0)
    typical = complete or values
    sign = -get_sort_sign(objective)
    best = max(typical, key=lambda value: sign * value)
    reach = AXIS_REACH * abs(statistics.median(typical) - best)
    near = [value for value in values if sign * (best - value) <= reach] if reach else values
    margin = 0.06 * (max(near) - min(near)) or 0.02 * abs(best) or 0.01
    return min(near) - margin, max(near) + margin


def select_drawn(ranked: Sequence[T], limit: int, best: int) -> tuple[list[T], list[T]]:
    """Split items, ranked best first, into those to draw (`limit` at most) and the others.

    The `best` first items are drawn, and an even choice of the rest.
    """
    if len(ranked) <= limit:
        return list(ranked), []
    rest, room = len(ranked) - best, limit - best
    indices = {*range(best), *(best + index * rest // room for index in range(room))}
    return (
        [each for index, each in enumerate(ranked) if index in indices],
        [each for index, each in enumerate(ranked) if index not in indices],
    )


def sort_by_objective(points: Iterable[Point], objective: Objective) -> list[Point]:
    """Sort points best first; of equal points the earlier trial is first."""
    sign = get_sort_sign(objective)
    return sorted(points, key=lambda point: (sign * point.y, point.number))


def add_points(
    figure: go.Figure,
    ranked: Sequence[Point],
    hover: str,
    always: Collection[int] = (),
    size: float = 6,
) -> None:
    """Add points, ranked best first, as two traces: pruned and complete.

    The trials in `always` are drawn even if there are too many points. `hover` is Plotly's template
    of the text below the trial's number.
    """
    visible, hidden = select_drawn(ranked, MAX_DRAWN, BEST_DRAWN)
    visible += [point for point in hidden if point.number in always]
    hidden = [point for point in hidden if point.number not in always]
    hidden_columns = []
    for complete, state, symbol in ((False, "PRUNED", "x-thin"), (True, "COMPLETE", "circle")):
        in_state = [point for point in visible if point.complete == complete]
        others = [point for point in hidden if point.complete == complete]
        colour = STATES[state]
        figure.add_trace(
            go.Scatter(
                **_build_columns(in_state),
                mode="markers",
                name=state.lower(),
                marker={
                    "size": size,
                    "color": colour,
                    "symbol": symbol,
                    "opacity": 0.8 if complete else 1.0,
                    "line": {"width": 0 if complete else 1.2, "color": colour},
                },
                hovertemplate=f"trial %{{customdata}}, {state.lower()}<br>{hover}<extra></extra>",
            )
        )
        if others:
            hidden_columns.append({"trace": len(figure.data) - 1, **_build_columns(others)})
    if hidden_columns:
        figure.update_layout(meta={"hidden": hidden_columns})


def spread_coinciding(
    x: Sequence[float], rows: Sequence[float], step: float, reach: float
) -> list[float]:
    """Return the y of points in rows, in which points with the same x lie beside each other.

    They are `step` rows apart, and at most `reach` rows from their row. Points closer than
    SAME_SHARE of the whole span count as the same.
    """
    tolerance, places = SAME_SHARE * (max(x, default=0.0) - min(x, default=0.0)), [*rows]
    order = sorted(range(len(x)), key=lambda index: (rows[index], x[index], index))
    groups: list[list[int]] = []
    for index in order:
        last = groups[-1][-1] if groups else None
        if last is None or rows[last] != rows[index] or x[index] - x[groups[-1][0]] > tolerance:
            groups.append([])
        groups[-1].append(index)
    for group in groups:
        distance = min(step, 2 * reach / max(1, len(group) - 1))
        for place, index in enumerate(group):
            places[index] += distance * (place - (len(group) - 1) / 2)
    return places


def spread_same_points(points: Sequence[Point]) -> list[Point]:
    """Return points of a logarithmic x axis, in which the same points lie beside each other.

    The first one of the same keeps its place. Points closer than SAME_SHARE of the axes are the
    same.
    """
    spans = [
        max(values) - min(values) or 1.0
        for values in ([math.log10(point.x) for point in points], [point.y for point in points])
    ]
    step, counts, places = SAME_STEP * spans[0], Counter[tuple[int, int]](), []
    for point in points:
        x, y = math.log10(point.x), point.y
        cell = (round(x / (SAME_SHARE * spans[0])), round(y / (SAME_SHARE * spans[1])))
        place = counts[cell] % MAX_SAME
        counts[cell] += 1
        side = 1 if place % 2 else -1
        shifted = 10 ** (x + side * step * ((place + 1) // 2))
        places.append(replace(point, x=shifted if place else point.x))
    return places


def list_measured_trials(study: StudyRun) -> list[tuple[RunRecord, float]]:
    """Return complete and pruned trials with their objective, sorted by number."""
    pairs = ((run, get_objective_value(run, study.objective)) for run in study.trials)
    return [(run, value) for run, value in pairs if value is not None]


def _build_columns(points: Sequence[Point]) -> dict[str, list[Any]]:
    return {
        "x": [point.x for point in points],
        "y": [point.y for point in points],
        "customdata": [point.number for point in points],
        "text": [escape_label(point.text) for point in points],
    }
