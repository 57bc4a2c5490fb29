"""Recommendations about the ranges of a search: widen one, or lower its upper end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.analysis.formatting import format_count
from harness.config.overrides import format_toml
from harness.config.search_space import DIMENSION_TYPES
from harness.config.validation import parse_value
from harness.reports.commands import build_changed_command
from harness.reports.parameter_axes import (
    ParameterAxis,
    build_parameter_axes,
    format_setting,
    list_ended_trials,
)
from harness.reports.plots.importance import compute_importance
from harness.tracking.types import RunRecord, StudyRun

MIN_TRIALS = 3
"""With fewer complete or failed trials, there is no recommendation."""
MOST_FAILED = 0.8
"""The share of failed trials that lie beyond a value."""
MIN_IMPORTANCE = 0.05
"""Importance below which a setting's range is not worth widening."""
NEAR_END = 0.05
"""A value is at the end of a range if it is closer than this share of the range's length."""
LOG_FACTOR, LOG_FACTOR_WHOLE = 10.0, 2.0
"""A log range of real numbers or of integers grows by this factor."""
LINEAR_GROWTH = 0.5
"""A linear range grows by this share of its length."""

End = Literal["low", "high"]


@dataclass(frozen=True)
class Recommendation:
    """A recommendation in plain text; `command` is a shell command for the study's folder."""

    title: str
    why: str
    command: str = ""


def recommend_lower_top(study: StudyRun) -> Recommendation | None:
    """Recommend a lower upper end if most failed trials are above all complete trials."""
    failed = [run.number for run in study.trials if run.state == "FAILED"]
    complete = [run.number for run in study.rank_trials()]
    trials = len(list_ended_trials(study))
    if len(failed) < max(MIN_TRIALS, trials / 10):
        return None
    for axis in build_parameter_axes(study):
        table = study.definition["space"][axis.name]
        if axis.kind == "choice" or not complete:
            continue
        safe = max(complete, key=lambda number: axis.positions.get(number, -math.inf))
        top = axis.positions[safe]
        beyond = sum(axis.positions.get(number, top) > top for number in failed)
        high = next(
            getattr(run.spec, axis.name, None) for run in study.trials if run.number == safe
        )
        if beyond < MOST_FAILED * len(failed) or not isinstance(high, float | int):
            continue
        return Recommendation(
            f"Lower the upper end of {axis.name}",
            f"{len(failed)} of {format_count(trials, 'trial')} failed, {beyond} of them with a "
            f"{axis.name} above {axis.texts[safe]}, the highest value of a complete trial.",
            build_changed_command(
                study, "lower", f"space.{axis.name}={format_toml({**table, 'high': high})}"
            ),
        )
    return None


def recommend_wider_range(study: StudyRun, champion: RunRecord) -> Recommendation | None:
    """Recommend wider ranges if the champion is at the end of a range."""
    best, reasons, sets, names = select_best_tenth(study), [], [], []
    weights = dict(compute_importance(study).shares)
    if len(best) < MIN_TRIALS:
        return None
    for axis in build_parameter_axes(study):
        if weights.get(axis.name, 1.0) < MIN_IMPORTANCE:
            continue
        table = study.definition["space"][axis.name]
        end = find_range_end(axis, table, champion.number)
        wider = widen_range(axis, table, champion.number)
        if end is None or wider is None:
            continue
        near = sum(find_range_end(axis, table, run.number) == end for run in best)
        names.append(axis.name)
        reasons.append(
            f"the champion's {axis.name}, {axis.texts[champion.number]}, is at the "
            f"{'lower' if end == 'low' else 'upper'} end of its range, "
            f"{format_setting(table['low'])} to {format_setting(table['high'])}, where {near} of "
            f"the best {format_count(len(best), 'trial')} {'is' if near == 1 else 'are'}"
        )
        sets.append(f"space.{axis.name}={format_toml(wider)}")
    if not names:
        return None
    why = "; ".join(reasons)
    return Recommendation(
        f"Widen the range of {' and '.join(names)}",
        f"{why[0].upper()}{why[1:]}. Values beyond were not tried.",
        build_changed_command(study, "wider", *sets),
    )


def select_best_tenth(study: StudyRun) -> list[RunRecord]:
    """Return the best tenth of the complete trials, and at least five if there are that many."""
    ranked = study.rank_trials()
    return ranked[: max(5, math.ceil(len(ranked) / 10))]


def find_range_end(axis: ParameterAxis, table: Any, number: int) -> End | None:
    """Return the end of a range at which a trial is; `table` is the range in the study's [space].

    None for a choice, and for the low end of a range with `zero`, because zero was tried.
    """
    if axis.kind == "choice" or not isinstance(table, Mapping) or number not in axis.positions:
        return None
    scale = math.log10 if axis.kind == "log" else float
    low, high = scale(table["low"]), scale(table["high"])
    position, margin = axis.positions[number], NEAR_END * (high - low)
    if position >= high - margin:
        return "high"
    return "low" if position <= low + margin and not table.get("zero") else None


def widen_range(axis: ParameterAxis, table: Any, number: int) -> dict[str, Any] | None:
    """Return the range, extended at the end where a trial is.

    None if the trial is at no end, or if the setting does not allow values beyond.
    """
    end = find_range_end(axis, table, number)
    if end is None or axis.name == "batch_size":  # its upper end is the size of the training set
        return None
    low, high = float(table["low"]), float(table["high"])
    is_integer = DIMENSION_TYPES.get(axis.name) is int
    if axis.kind == "log":
        times = LOG_FACTOR_WHOLE if is_integer else LOG_FACTOR
        beyond = low / times if end == "low" else high * times
    else:
        more = LINEAR_GROWTH * (high - low)
        beyond = max(0.0, low - more) if end == "low" else high + more
    if is_integer:
        beyond = max(1, math.floor(beyond)) if end == "low" else math.ceil(beyond)
    else:
        beyond = float(f"{beyond:.3g}")
    if beyond == table[end] or not _is_allowed(axis.name, beyond):
        return None
    return {**table, end: beyond}


def _is_allowed(name: str, value: float) -> bool:
    try:
        parse_value(name, value)
    except (KeyError, ValueError):
        return False
    return True
