"""The columns of a table that its splits are made by: groups that stay whole, and times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.data.column_types import list_texts
from harness.data.types import Array, DataOptions
from harness.errors import DataError
from harness.scoring import column
from harness.scoring.date_texts import guess_order

if TYPE_CHECKING:
    import pandas as pd


def read_groups(frame: pd.DataFrame, name: str, options: DataOptions) -> Array | None:
    """Return the number of each row's group, int64 [N]; None without [data] group.

    Raises DataError.
    """
    if not options.group:
        return None
    values = _get_complete(frame, options.group, "group", name)
    groups: Array = np.unique(values.map(column.format_level), return_inverse=True)[1]
    return groups.astype(np.int64)


def read_times(frame: pd.DataFrame, name: str, options: DataOptions) -> Array | None:
    """Return by what the rows are ordered, float64 [N]; None without [data] time.

    Raises DataError.
    """
    if not options.time:
        return None
    from pandas.api import types

    values = _get_complete(frame, options.time, "time", name)
    if types.is_numeric_dtype(values):
        return values.to_numpy(np.float64)
    kind = dict(options.columns).get(options.time, "")
    order = kind.removeprefix("date-") if "-" in kind else guess_order(list_texts(values))[0]
    times = column.read_times(values, order)
    if np.isnan(times).any():
        example = values[np.isnan(times)].iloc[0]
        raise DataError(
            f"[data] time: column '{options.time}' of {name} has values that are no dates, such "
            f"as '{str(example)[:40]}'; write numbers or dates such as 2024-12-31"
        )
    return times


def _get_complete(frame: pd.DataFrame, chosen: str, key: str, name: str) -> pd.Series:
    values = frame[chosen]
    if count := int(values.isna().sum()):
        raise DataError(
            f"[data] {key}: column '{chosen}' of {name} has {count:,} missing values; fill them, "
            "or leave those rows out"
        )
    return values
