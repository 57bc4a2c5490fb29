"""A study's varied settings as axes: where each trial stands on each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.config.schema import find_varied_fields
from harness.tracking.types import RunRecord, StudyRun

Ticks = tuple[tuple[float, str], ...]

ZERO_BELOW = 0.5
"""Decades below a log range's low end at which its exact zeros stand."""
MOST_TICKS = 6
FEW = 12
"""A range of so many whole numbers has room to tell them apart."""
SPREAD = 0.5
"""Of the room between two values, what trials that share one are spread over."""


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One sampled setting as a linear axis.

    A position is the value itself on a linear range, its log10 on a log range, and the index among
    the choices, or among whatever else occurred, of a choice.
    """

    name: str
    """As in [space]; `width` is a trial's mean hidden width."""
    kind: Literal["choice", "log", "linear"]
    positions: dict[int, float]
    """By trial number."""
    shown: dict[int, str]
    """The value as text, by trial number."""
    ticks: Ticks
    """(position, text), rising."""
    ends: tuple[str, str]
    """What to write at the axis's two ends; empty where the ticks are all values that there are."""
    low: float
    high: float
    """The axis, in positions: all of the range, and every trial."""
    apart: float = 0.0
    """Between neighbouring values; 0 for a continuum."""
    zero: float | None = None
    """Where the exact zeros of a log range stand."""

    @property
    def varies(self) -> bool:
        return len(set(self.positions.values())) > 1

    def drawn(self, number: int) -> float:
        """Where to draw a trial: beside its position where many share one, always at one place."""
        position = self.positions[number]
        room = ZERO_BELOW if position == self.zero else self.apart
        golden = number * 0.6180339887498949 % 1  # evenly spread, however many there are
        return position + SPREAD * room * (golden - 0.5)

    def share(self, position: float) -> float:
        """Where on the axis a position lies, from 0 to 1."""
        return (position - self.low) / (self.high - self.low)


def factors(study: StudyRun) -> tuple[Factor, ...]:
    """Every setting that was varied and that some ended trial has, in the study file's order."""
    space = study.definition.get("space") or dict.fromkeys(find_varied_fields(study.definition))
    runs = ended(study)
    found = []
    for name, dimension in space.items():
        values = {run.number: value for run in runs if (value := value_of(run, name)) is not None}
        if dimension is None:  # of a list: a choice
            if len(set(map(as_text, values.values()))) < 2:
                continue  # it says what is so anyway
            dimension = sorted(values.values()) if _numbers(values.values()) else []
        if values:
            found.append(_factor(name, dimension, values))
    return tuple(found)


def ended(study: StudyRun) -> list[RunRecord]:
    """The trials that ended for good; an interrupted attempt is none, its successor is."""
    return [run for run in study.trials if run.state in ("COMPLETE", "PRUNED", "FAILED")]


def as_text(value: Any) -> str:
    """A setting's value for people: `300-100`, `0.00376`, `before`."""
    if isinstance(value, list | tuple):
        return "-".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def log_ticks(low: float, high: float) -> Ticks:
    """From 10**low to 10**high, as log10: the 1, 2 and 5 of each decade if those are few enough,
    else the decades, or every so many of them; round numbers where the range is less than that."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    steps = [m * 10.0**k for k in decades for m in (1, 2, 5)]
    fine = [value for value in steps if low - 1e-9 <= math.log10(value) <= high + 1e-9]
    if len(fine) > MOST_TICKS:
        whole = [k for k in decades if low - 1e-9 <= k <= high + 1e-9]
        fine = [10.0**k for k in whole[:: math.ceil(len(whole) / MOST_TICKS)]]
    if len(fine) < 2 and low < high:
        fine = [value for value, _ in _linear_ticks(10**low, 10**high) if value > 0]
    return tuple((math.log10(value), _short(value)) for value in fine)


def value_of(run: RunRecord, name: str) -> Any:
    """None where this setting says nothing about this trial."""
    hidden = run.spec.hidden
    if name in ("depth", "width") and run.spec.model:
        return None
    if name == "depth":
        return len(hidden)
    if name == "width":
        return sum(hidden) / len(hidden) if hidden else None
    return run.spec.to_dict().get(name)


def _factor(name: str, dimension: Any, values: Mapping[int, Any]) -> Factor:
    if isinstance(dimension, list) and name == "width" and _numbers(dimension):
        # The mean of several choices is none of them: it needs an axis, not categories.
        dimension = {"low": min(dimension), "high": max(dimension), "log": True}
    if isinstance(dimension, Mapping) and _numbers(values.values()):
        low, high = dimension.get("low"), dimension.get("high")
        if _numbers((low, high)):
            return _range(name, dimension, values)
    return _choice(name, dimension if isinstance(dimension, list) else [], values)


def _numbers(values: Any) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def _choice(name: str, listed: Sequence[Any], values: Mapping[int, Any]) -> Factor:
    texts = list(dict.fromkeys(map(as_text, [*listed, *values.values()])))
    shown = {number: as_text(value) for number, value in values.items()}
    return Factor(
        name=name,
        kind="choice",
        positions={number: float(texts.index(text)) for number, text in shown.items()},
        shown=shown,
        ticks=tuple((float(index), text) for index, text in enumerate(texts)),
        ends=("", ""),
        low=-0.5,
        high=len(texts) - 0.5,
        apart=1.0,
    )


def _range(name: str, dimension: Mapping[str, Any], values: Mapping[int, Any]) -> Factor:
    low, high = float(dimension["low"]), float(dimension["high"])
    log = bool(dimension.get("log")) and low > 0
    whole = name != "width" and all(isinstance(value, int) for value in values.values())
    zero = math.log10(low) - ZERO_BELOW if log else 0.0
    positions = {
        number: (math.log10(value) if value > 0 else zero) if log else float(value)
        for number, value in values.items()
    }
    start, end = (math.log10(low), math.log10(high)) if log else (low, high)
    ticks = log_ticks(start, end) if log else _linear_ticks(start, end)
    has_zero = log and (bool(dimension.get("zero")) or zero in positions.values())
    if has_zero:
        ticks = ((zero, "0"), *ticks)
    bottom = min(start, *positions.values())
    if has_zero:
        bottom = min(bottom, zero - SPREAD * ZERO_BELOW / 2)
    top = max(end, *positions.values())
    few = whole and not log and top - bottom < FEW
    if few:
        ticks = tuple((float(value), str(value)) for value in range(int(bottom), int(top) + 1))
    if few or top <= bottom:
        bottom, top = bottom - 0.5, top + 0.5
    return Factor(
        name=name,
        kind="log" if log else "linear",
        positions=positions,
        shown={number: as_text(value) for number, value in values.items()},
        ticks=ticks,
        ends=("", "") if few else ("0" if has_zero else _end(bottom, log), _end(top, log)),
        low=bottom,
        high=top,
        apart=1.0 if few else 0.0,
        zero=zero if has_zero else None,
    )


def _end(position: float, log: bool) -> str:
    return _short(float(f"{10**position if log else position:.3g}"))


def _linear_ticks(low: float, high: float) -> Ticks:
    """Multiples of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return ((low, _short(low)),)
    k = math.floor(math.log10((high - low) / MOST_TICKS))
    steps = [m * 10.0 ** (k + more) for more in (0, 1, 2) for m in (1, 2, 5)]
    step = next(each for each in steps if (high - low) / each < MOST_TICKS - 1 + 1e-9)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple((index * step, _short(index * step)) for index in range(first, last + 1))


def _short(value: float) -> str:
    """`0.01`, `1e-4`, `20000`: few letters."""
    if value and not 1e-2 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.6g}"
