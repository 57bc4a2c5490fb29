"""A study's varied settings as plot axes, with each trial's position on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.config.schema import find_varied_fields
from harness.tracking.types import RunRecord, StudyRun

Ticks = tuple[tuple[float, str], ...]

ZERO_OFFSET = 0.5
"""A log range shows exact zeros this many decades below its low end."""
MAX_TICKS = 6
MAX_WHOLE_TICKS = 12
"""A range with fewer integers has a tick for each of them."""
JITTER = 0.5
"""Trials with the same value are spread over this share of the space between two values."""


@dataclass(frozen=True, kw_only=True)
class ParameterAxis:
    """One varied setting as a linear axis.

    A position is the value itself on a linear range, its log10 on a log range, and an index into
    the choices (or the values that occurred) otherwise.
    """

    name: str
    """The name in [space]; `width` is a trial's mean hidden width."""
    kind: Literal["choice", "log", "linear"]
    positions: dict[int, float]
    """By trial number."""
    texts: dict[int, str]
    """The value as text, by trial number."""
    ticks: Ticks
    """(position, text), ascending."""
    end_labels: tuple[str, str]
    """The texts at the axis's two ends; empty if the ticks are all values."""
    low: float
    high: float
    """The axis in positions: the whole range and every trial."""
    spacing: float = 0.0
    """The distance between neighbouring values; 0 for a continuous range."""
    zero: float | None = None
    """The position of a log range's exact zeros."""

    @property
    def varies(self) -> bool:
        return len(set(self.positions.values())) > 1

    def draw_position(self, number: int) -> float:
        """Return where to draw a trial: its position, spread deterministically if many share it."""
        position = self.positions[number]
        space = ZERO_OFFSET if position == self.zero else self.spacing
        golden = number * 0.6180339887498949 % 1  # evenly spread, however many there are
        return position + JITTER * space * (golden - 0.5)

    def fraction(self, position: float) -> float:
        """Return a position as a fraction of the axis, from 0 to 1."""
        return (position - self.low) / (self.high - self.low)


def build_parameter_axes(study: StudyRun) -> tuple[ParameterAxis, ...]:
    """Return an axis per setting that was varied and that an ended trial has, in file order."""
    space = study.definition.get("space") or dict.fromkeys(find_varied_fields(study.definition))
    runs = list_ended_trials(study)
    axes = []
    for name, dimension in space.items():
        values = {
            run.number: value for run in runs if (value := get_setting(run, name)) is not None
        }
        if dimension is None:  # a list's field is a choice
            if len(set(map(format_setting, values.values()))) < 2:
                continue  # it does not vary
            dimension = sorted(values.values()) if _are_numbers(values.values()) else []
        if values:
            axes.append(_build_axis(name, dimension, values))
    return tuple(axes)


def list_ended_trials(study: StudyRun) -> list[RunRecord]:
    """Return trials that ended; an interrupted attempt did not, its retry counts instead."""
    return [run for run in study.trials if run.state in ("COMPLETE", "PRUNED", "FAILED")]


def format_setting(value: Any) -> str:
    """Format a setting's value: `300-100`, `0.00376`, `before`."""
    if isinstance(value, list | tuple):
        return "-".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def compute_log_ticks(low: float, high: float) -> Ticks:
    """Return ticks from 10**low to 10**high; positions are log10.

    These are 1, 2 and 5 of each decade if they are few enough, else all or some decades. A range
    shorter than that has linear ticks.
    """
    decades = range(math.floor(low), math.ceil(high) + 1)
    steps = [m * 10.0**k for k in decades for m in (1, 2, 5)]
    fine = [value for value in steps if low - 1e-9 <= math.log10(value) <= high + 1e-9]
    if len(fine) > MAX_TICKS:
        powers = [k for k in decades if low - 1e-9 <= k <= high + 1e-9]
        fine = [10.0**k for k in powers[:: math.ceil(len(powers) / MAX_TICKS)]]
    if len(fine) < 2 and low < high:
        fine = [value for value, _ in _compute_linear_ticks(10**low, 10**high) if value > 0]
    return tuple((math.log10(value), _format_number(value)) for value in fine)


def get_setting(run: RunRecord, name: str) -> Any:
    """Return a trial's value of a setting; None if it does not apply to the trial."""
    hidden = run.spec.hidden
    if name in ("depth", "width") and run.spec.model:
        return None
    if name == "depth":
        return len(hidden)
    if name == "width":
        return sum(hidden) / len(hidden) if hidden else None
    return run.spec.to_dict().get(name)


def _build_axis(name: str, dimension: Any, values: Mapping[int, Any]) -> ParameterAxis:
    if isinstance(dimension, list) and name == "width" and _are_numbers(dimension):
        # A mean of several choices may be none of them: it needs a range.
        dimension = {"low": min(dimension), "high": max(dimension), "log": True}
    if isinstance(dimension, Mapping) and _are_numbers(values.values()):
        low, high = dimension.get("low"), dimension.get("high")
        if _are_numbers((low, high)):
            return _build_range_axis(name, dimension, values)
    return _build_choice_axis(name, dimension if isinstance(dimension, list) else [], values)


def _are_numbers(values: Any) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def _build_choice_axis(
    name: str, choices: Sequence[Any], values: Mapping[int, Any]
) -> ParameterAxis:
    texts = list(dict.fromkeys(map(format_setting, [*choices, *values.values()])))
    texts_by_trial = {number: format_setting(value) for number, value in values.items()}
    return ParameterAxis(
        name=name,
        kind="choice",
        positions={number: float(texts.index(text)) for number, text in texts_by_trial.items()},
        texts=texts_by_trial,
        ticks=tuple((float(index), text) for index, text in enumerate(texts)),
        end_labels=("", ""),
        low=-0.5,
        high=len(texts) - 0.5,
        spacing=1.0,
    )


def _build_range_axis(
    name: str, dimension: Mapping[str, Any], values: Mapping[int, Any]
) -> ParameterAxis:
    low, high = float(dimension["low"]), float(dimension["high"])
    log = bool(dimension.get("log")) and low > 0
    is_integer = name != "width" and all(isinstance(value, int) for value in values.values())
    zero = math.log10(low) - ZERO_OFFSET if log else 0.0
    positions = {
        number: (math.log10(value) if value > 0 else zero) if log else float(value)
        for number, value in values.items()
    }
    start, end = (math.log10(low), math.log10(high)) if log else (low, high)
    ticks = compute_log_ticks(start, end) if log else _compute_linear_ticks(start, end)
    has_zero = log and (bool(dimension.get("zero")) or zero in positions.values())
    if has_zero:
        ticks = ((zero, "0"), *ticks)
    bottom = min(start, *positions.values())
    if has_zero:
        bottom = min(bottom, zero - JITTER * ZERO_OFFSET / 2)
    top = max(end, *positions.values())
    has_all_ticks = is_integer and not log and top - bottom < MAX_WHOLE_TICKS
    if has_all_ticks:
        ticks = tuple((float(value), str(value)) for value in range(int(bottom), int(top) + 1))
    if has_all_ticks or top <= bottom:
        bottom, top = bottom - 0.5, top + 0.5
    return ParameterAxis(
        name=name,
        kind="log" if log else "linear",
        positions=positions,
        texts={number: format_setting(value) for number, value in values.items()},
        ticks=ticks,
        end_labels=("", "")
        if has_all_ticks
        else ("0" if has_zero else _format_end(bottom, log), _format_end(top, log)),
        low=bottom,
        high=top,
        spacing=1.0 if has_all_ticks else 0.0,
        zero=zero if has_zero else None,
    )


def _format_end(position: float, log: bool) -> str:
    return _format_number(float(f"{10**position if log else position:.3g}"))


def _compute_linear_ticks(low: float, high: float) -> Ticks:
    """Return multiples of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return ((low, _format_number(low)),)
    k = math.floor(math.log10((high - low) / MAX_TICKS))
    steps = [m * 10.0 ** (k + more) for more in (0, 1, 2) for m in (1, 2, 5)]
    step = next(step for step in steps if (high - low) / step < MAX_TICKS - 1 + 1e-9)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple((index * step, _format_number(index * step)) for index in range(first, last + 1))


def _format_number(value: float) -> str:
    """Format a number in few characters: `0.01`, `1e-4`, `20000`."""
    if value and not 1e-2 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.6g}"
