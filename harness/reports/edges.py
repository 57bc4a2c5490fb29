"""The ends of a sampled range: whether a trial stands at one, and what range would go further."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from harness.config.search_space import DIMENSION_TYPES
from harness.config.validation import parse_value
from harness.reports.parameter_axes import Factor

NEAR = 0.05
"""Of a range's length, in its own scale: nearer to its end than this is at its end."""
TIMES, TIMES_WHOLE = 10.0, 2.0
"""By which a log range grows: of real numbers, of whole ones."""
MORE = 0.5
"""Of its length, by which a linear range grows."""

End = Literal["low", "high"]


def end_of(factor: Factor, table: Any, number: int) -> End | None:
    """The end at which a trial stands, of a range as the study's [space] has it.

    None for a choice, and for the low end of a range with `zero`: below it lies the zero, and that
    was tried.
    """
    if factor.kind == "choice" or not isinstance(table, Mapping) or number not in factor.positions:
        return None
    scale = math.log10 if factor.kind == "log" else float
    low, high = scale(table["low"]), scale(table["high"])
    position, margin = factor.positions[number], NEAR * (high - low)
    if position >= high - margin:
        return "high"
    return "low" if position <= low + margin and not table.get("zero") else None


def widened(factor: Factor, table: Any, number: int) -> dict[str, Any] | None:
    """The range with more room at the end where a trial stands.

    None where it stands at none, or where the setting takes no value beyond.
    """
    end = end_of(factor, table, number)
    if end is None or factor.name == "batch_size":  # whose end is the size of the training part
        return None
    low, high = float(table["low"]), float(table["high"])
    whole = DIMENSION_TYPES.get(factor.name) is int
    if factor.kind == "log":
        times = TIMES_WHOLE if whole else TIMES
        beyond = low / times if end == "low" else high * times
    else:
        more = MORE * (high - low)
        beyond = max(0.0, low - more) if end == "low" else high + more
    if whole:
        beyond = max(1, math.floor(beyond)) if end == "low" else math.ceil(beyond)
    else:
        beyond = float(f"{beyond:.3g}")
    if beyond == table[end] or not _allowed(factor.name, beyond):
        return None
    return {**table, end: beyond}


def _allowed(name: str, value: float) -> bool:
    try:
        parse_value(name, value)
    except (KeyError, ValueError):
        return False
    return True
