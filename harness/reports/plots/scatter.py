"""Trials as points: which of them a figure draws, and which stretch of the objective it shows.

A page with thousands of SVG nodes a figure does not open on a phone. So a figure draws the best
points and an even choice of the rest; what it leaves out lies in `layout.meta["hidden"]`, a list of
{"trace": index, "x": [...], "y": [...], "customdata": [...], "text": [...]}, where the page finds
any trial that it is to show.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import plotly.graph_objects as go

from harness.metrics import ACCURACY, OBJECTIVE_NAMES, Score, get_sort_sign
from harness.reports.plots.style import STATES, label
from harness.results import Objective
from harness.tracking.types import RunRecord, StudyRun

MOST_DRAWN = 400
BEST_DRAWN = 100
"""Of those that are drawn, so many are the best."""
MEDIANS = 3
"""How far an axis reaches, in distances from the best complete trial to the median one."""
SCORES = dict.fromkeys(("val/rmse", "val/mae"), Score("regression"))

T = TypeVar("T")


@dataclass(frozen=True)
class Point:
    """One trial in a scatter plot."""

    number: int
    x: float
    y: float
    text: str = ""
    """What hovering tells beside the number and y, not yet escaped."""
    complete: bool = True
    """Pruned otherwise."""


def measured(run: RunRecord, objective: Objective) -> float | None:
    """The objective at the best epoch of a trial that was trained, to its end or pruned."""
    value = run.objective_value(objective)
    if run.state not in ("COMPLETE", "PRUNED") or value is None or not math.isfinite(value):
        return None
    return value


def title(objective: Objective) -> str:
    """Of an axis."""
    return f"validation {OBJECTIVE_NAMES[objective]}"


def form(objective: Objective) -> str:
    """Plotly's format of its values."""
    return SCORES.get(objective, ACCURACY).plotly_hover


def hovered(objective: Objective) -> str:
    """Plotly's template for y where the pointer is."""
    return f"{title(objective)} %{{y:{form(objective)}}}"


def focus(
    complete: Sequence[float], others: Sequence[float], objective: Objective
) -> tuple[float, float]:
    """The stretch of an axis that holds the good trials, so that bad ones do not squeeze them.

    From the best to MEDIANS times as far from it as the median complete trial lies, and a margin.
    What is worse is outside. `others` are values of pruned trials.
    """
    values = [*complete, *others]
    if not values:
        return (0.0, 1.0)
    typical = complete or values
    sign = -get_sort_sign(objective)
    best = max(typical, key=lambda value: sign * value)
    reach = MEDIANS * abs(statistics.median(typical) - best)
    near = [value for value in values if sign * (best - value) <= reach] if reach else values
    margin = 0.06 * (max(near) - min(near)) or 0.02 * abs(best) or 0.01
    return min(near) - margin, max(near) + margin


def thinned(ranked: Sequence[T], most: int, best: int) -> tuple[list[T], list[T]]:
    """Of things ranked best first, the `most` to draw, and the others, each in that order.

    Drawn are the `best` first, and the rest evenly.
    """
    if len(ranked) <= most:
        return list(ranked), []
    rest, room = len(ranked) - best, most - best
    drawn = {*range(best), *(best + index * rest // room for index in range(room))}
    return (
        [each for index, each in enumerate(ranked) if index in drawn],
        [each for index, each in enumerate(ranked) if index not in drawn],
    )


def by_objective(points: Iterable[Point], objective: Objective) -> list[Point]:
    """Best first, the earlier of equals first."""
    sign = get_sort_sign(objective)
    return sorted(points, key=lambda point: (sign * point.y, point.number))


def add_points(
    figure: go.Figure,
    ranked: Sequence[Point],
    hover: str,
    always: Collection[int] = (),
    size: float = 6,
) -> None:
    """Add points that are ranked best first as two traces, complete and pruned.

    Those of the trials `always` are drawn whatever happens. `hover` is Plotly's template for what
    stands below the trial's number.
    """
    drawn, hidden = thinned(ranked, MOST_DRAWN, BEST_DRAWN)
    drawn += [point for point in hidden if point.number in always]
    hidden = [point for point in hidden if point.number not in always]
    left_out = []
    for complete, state, symbol in ((False, "PRUNED", "x-thin"), (True, "COMPLETE", "circle")):
        shown = [point for point in drawn if point.complete == complete]
        others = [point for point in hidden if point.complete == complete]
        colour = STATES[state]
        figure.add_trace(
            go.Scatter(
                **_columns(shown),
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
            left_out.append({"trace": len(figure.data) - 1, **_columns(others)})
    if left_out:
        figure.update_layout(meta={"hidden": left_out})


def trained(study: StudyRun) -> list[tuple[RunRecord, float]]:
    """Complete and pruned trials with their objective, by number."""
    pairs = ((run, measured(run, study.objective)) for run in study.trials)
    return [(run, value) for run, value in pairs if value is not None]


def _columns(points: Sequence[Point]) -> dict[str, list[Any]]:
    return {
        "x": [point.x for point in points],
        "y": [point.y for point in points],
        "customdata": [point.number for point in points],
        "text": [label(point.text) for point in points],
    }
