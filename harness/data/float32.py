"""Convert numbers to float32, and notice what it cannot hold: values too large or too alike."""

from __future__ import annotations

import numpy as np

from harness.data.types import Array
from harness.errors import DataError

MAX_ROUNDING = 1e-3
"""The rounding to float32, as a fraction of a column's standard deviation."""
MAX_TARGET_ROUNDING = 0.05
"""The same for the target of a regression, which is refused above it."""


def to_finite_float32(values: Array, name: str, what: str, first: int = 0) -> Array:
    """Convert to float32. Raises DataError with the first value that is not finite; its row is
    counted from `first`."""
    with np.errstate(over="ignore"):
        converted = values.astype(np.float32) + np.float32(0)  # turns -0 into 0
    wrong = ~np.isfinite(converted)
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        row, inside = int(place[0]) + first, list(map(int, place[1:]))
        raise DataError(
            f"{name}: {what} is {values[place]} in row {row:,}{f' at {inside}' if inside else ''} "
            f"({int(wrong.sum()):,} in all are not finite in float32); fill them, or leave those "
            "rows out"
        )
    return converted


def find_offset(numbers: Array, limit: float = MAX_ROUNDING) -> float:
    """Return a number to subtract in float64 before the conversion to float32; mostly 0.

    float32 has 24 bits: seconds since 1970 become multiples of 128. A number is returned only if
    the rounding is more than `limit` standard deviations.
    """
    values = numbers.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(values.std())
        error = float(np.abs(values.astype(np.float32) - values).max())
    if not np.isfinite([spread, error]).all():
        return 0.0
    return float(np.floor(values.min())) if error > limit * spread else 0.0


def describe_offsets(inputs: Array, name: str) -> list[str]:
    """Describe the features [N, D] whose values are too alike for float32, for people."""
    if inputs.ndim != 2 or inputs.dtype.itemsize < 4 or inputs.dtype.kind not in "uif":
        return []
    offsets = {column: find_offset(inputs[:, column]) for column in range(inputs.shape[1])}
    return [
        f"{name}: float32 cannot tell the values of x[:, {column}] apart; subtract {offset:.17g}"
        for column, offset in offsets.items()
        if offset
    ]


def check_targets(targets: Array, name: str) -> None:
    """Raise DataError if the targets of a regression are too alike for float32."""
    if len(targets) and (offset := find_offset(targets, MAX_TARGET_ROUNDING)):
        raise DataError(
            f"{name}: float32 cannot tell the values of the target apart; subtract "
            f"{offset:.17g} from them"
        )
