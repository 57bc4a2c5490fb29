"""A column of a table: its kind, and how its values become cells.

A cell is a float64, NaN for a missing value: a number; the place of a category's level in `levels`,
or UNSEEN; 0 or 1 for a boolean; seconds since 1970 for a date; hours since midnight for a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .date_texts import read_seconds
from .number_texts import read_number

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["number", "category", "boolean", "date", "time"]
Cells = npt.NDArray[np.float64]
UNSEEN = -1.0
"""The cell of a text that is none of a category's levels."""
SECONDS_PER_HOUR = 3600
WORDS = {"true": 1.0, "yes": 1.0, "1": 1.0, "1.0": 1.0,
         "false": 0.0, "no": 0.0, "0": 0.0, "0.0": 0.0}  # fmt: skip
"""Texts that are booleans, whatever a column's levels are."""


@dataclass(frozen=True)
class Column:
    """How a column's values become cells; nothing here depends on the split."""

    name: str
    kind: Kind
    levels: tuple[str, ...] = ()
    """The texts of a category, sorted; the two texts of a boolean, the first of which is 0."""
    mark: str = ""
    """The decimal mark of numbers that are texts."""
    order: str = ""
    """That of days and months in dates that are texts: `dmy`, `mdy`; `time` for times."""
    limit: int = 0
    """The most levels of a category that become features; 0 for all."""

    def read_cells(self, values: pd.Series) -> Cells:
        """Return the cells [N] of raw values of any type."""
        if self.kind == "number":
            return read_numbers(values, self.mark)
        if self.kind == "category":
            places = {level: float(place) for place, level in enumerate(self.levels)}
            return _read_texts(values, lambda text: places.get(text, UNSEEN))
        if self.kind == "boolean":
            return self._read_booleans(values)
        cells = read_times(values, "time" if self.kind == "time" else self.order)
        return cells / SECONDS_PER_HOUR if self.kind == "time" else cells

    def _read_booleans(self, values: pd.Series) -> Cells:
        places = {level.casefold(): float(place) for place, level in enumerate(self.levels)}
        known = WORDS | places
        nan = float("nan")
        return _read_texts(values, lambda text: known.get(text.casefold(), nan))


def read_numbers(values: pd.Series, mark: str) -> Cells:
    """Return numbers, NaN for what is none; seconds of a duration."""
    from pandas.api import types

    if types.is_timedelta64_dtype(values):
        seconds: Cells = values.dt.total_seconds().to_numpy(np.float64)
        return seconds
    if types.is_numeric_dtype(values):
        return _replace_infinite(values.to_numpy(np.float64, na_value=np.nan))
    return _replace_infinite(_read_texts(values, lambda text: read_number(text, mark)))


def read_times(values: pd.Series, order: str) -> Cells:
    """Return seconds since 1970, or since midnight where `order` is `time`."""
    from pandas.api import types

    if types.is_datetime64_any_dtype(values):
        stamps = values.dt.tz_convert("UTC").dt.tz_localize(None) if values.dt.tz else values
        raw = stamps.to_numpy("datetime64[us]")
        seconds = raw.astype(np.int64) / 1e6
        seconds[np.isnat(raw)] = np.nan
        return seconds % 86_400 if order == "time" else seconds
    return _read_texts(values, lambda text: read_seconds(text, order))


def format_level(value: object) -> str:
    """Return a value as the text of a level: 3 and 3.0 are the same one."""
    if isinstance(value, (float, np.floating)) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


def list_levels(values: pd.Series) -> list[str]:
    """Return the different levels of a column, sorted."""
    return sorted({format_level(each) for each in _list_unique(values)})


def _read_texts(values: pd.Series, read: Callable[[str], float]) -> Cells:
    """Return the cell of each value by its text; each different value is read once."""
    known = {each: read(format_level(each)) for each in _list_unique(values)}
    cells = [known.get(each, np.nan) if _is_hashable(each) else np.nan for each in values]
    return np.array(cells, np.float64)


def _list_unique(values: pd.Series) -> Iterable[Any]:
    try:
        return values.dropna().unique()
    except TypeError:  # lists
        return [each for each in values.dropna() if _is_hashable(each)]


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _replace_infinite(numbers: Cells) -> Cells:
    """Return the numbers with NaN for those that float32 cannot hold."""
    with np.errstate(over="ignore"):
        return np.where(np.isfinite(numbers.astype(np.float32)), numbers, np.nan)
