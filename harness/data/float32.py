"""Convert numbers to float32, and notice what it cannot hold: values too large or too alike."""

from __future__ import annotations

import numpy as np

from harness.data.types import Array
from harness.errors import DataError
from harness.scoring.column_features import find_offset

MAX_TARGET_ROUNDING = 0.05
"""The rounding of a regression's target to float32, as a fraction of its standard deviation, above
which it is refused."""


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
