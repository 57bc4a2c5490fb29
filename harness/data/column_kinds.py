"""The kind of each column of a table: number, category, boolean, date or time, or left out.

[data.columns] of a study decides; else the kind is guessed from all values, and a note says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import numpy as np

from harness.data.column_types import Numbers, are_dates_or_times, list_texts
from harness.data.float32 import to_finite_float32
from harness.data.table import format_toml_key, format_toml_list
from harness.data.types import ColumnKind, DataOptions
from harness.errors import DataError
from harness.scoring.column import Cells, Column, list_levels, read_times
from harness.scoring.date_texts import guess_order, is_time, read_seconds

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 50
"""A column of more different texts than this may be a name, an ID or a date, not a category."""
MAX_FEW = 20
"""A column of categories may contain so many different numbers, such as 1, 2 and 3+, or dates."""
MIN_REPEATED = 0.1
"""A column of many texts is an identifier if fewer than this share repeat an earlier one."""
MIN_WORDS = 5
"""Texts of so many words on average are sentences."""
KINDS: tuple[str, ...] = get_args(ColumnKind)


@dataclass(frozen=True)
class ColumnPlan:
    """What becomes of a column."""

    name: str
    column: Column | None
    """None if the column is left out."""
    cells: Cells
    """[N]; empty if the column is left out."""
    kind: str
    """For people, such as `number` or `identifier`."""
    reason: str = ""
    """Why it is left out, for people."""
    note: str = ""
    """What was guessed, and how to change it."""


def plan_column(
    values: pd.Series, numbers: Numbers | None, name: str, options: DataOptions, first_row: int
) -> ColumnPlan:
    """Decide what becomes of a column.

    Args:
        values: The column; its texts that count as missing are missing.
        numbers: The numbers that its texts are, if all are.
        name: The name of the dataset, for errors.
        first_row: The number of the first row, for errors.

    Raises DataError.
    """
    import pandas as pd

    column, kind = str(values.name), dict(options.columns).get(str(values.name))
    if kind == "ignore":
        return _leave_out(column, "ignored", "[data.columns] leaves it out")
    if isinstance(values.dtype, pd.CategoricalDtype):
        values, kind = values.astype(object), kind or "category"
    _check_values(values, name)
    if values.isna().all():
        return _leave_out(column, "empty", "is empty")
    chosen = kind or _guess_kind(values, numbers, name, options)
    if chosen in ("identifier", "text"):
        return _leave_out(column, chosen, _explain(values, chosen))
    if chosen == "number":
        plan = _plan_number(values, numbers, name, first_row)
    elif chosen in ("date", "date-dmy", "date-mdy", "time"):
        plan = _plan_times(values, chosen, name)
    else:
        levels = tuple(list_levels(values))
        if chosen == "boolean" and _is_boolean(values):
            levels = ("False", "True")
        if chosen == "boolean" and len(levels) != 2:
            raise DataError(
                f'[data.columns] {format_toml_key(column)} = "boolean": {name} has '
                f"{len(levels):,} different values there, such as '{levels[0][:40]}', not two"
            )
        limit = get_limit(options, len(values)) if chosen == "category" else 0
        made = Column(column, "boolean" if chosen == "boolean" else "category", levels, limit=limit)
        plan = ColumnPlan(column, made, made.read_cells(values), chosen)
    return replace(plan, note="") if kind and not plan.note.startswith("!") else plan


def get_limit(options: DataOptions, rows: int) -> int:
    """Return the most levels of a category that become features."""
    return options.max_categories or max(MAX_FEW, min(MAX_CATEGORIES, rows // 2))


def _check_values(values: pd.Series, name: str) -> None:
    """Raise DataError if a column holds lists, records or other objects that are no values."""
    for each in values if values.dtype == object else ():
        if isinstance(each, (list, tuple, dict, set, bytes, np.ndarray)):
            raise DataError(
                f"{name}: column '{values.name}' holds {type(each).__name__} values, which are "
                f"not supported; leave it out by [data] ignore = {format_toml_list(values.name)}"
            )
    if values.dtype.kind == "c":
        raise DataError(
            f"{name}: column '{values.name}' holds complex numbers, which are not supported; leave "
            f"it out by [data] ignore = {format_toml_list(values.name)}"
        )


def _guess_kind(values: pd.Series, numbers: Numbers | None, name: str, options: DataOptions) -> str:
    from pandas.api import types

    if _is_boolean(values):
        return "boolean"
    if numbers is not None or types.is_numeric_dtype(values) or types.is_timedelta64_dtype(values):
        return "number"
    if types.is_datetime64_any_dtype(values):
        return "date"
    if _are_numbers(values, name):
        return "number"
    count = len(list_levels(values))
    is_many = count > get_limit(options, len(values))
    if (is_many or (count > MAX_FEW and not options.max_categories)) and are_dates_or_times(values):
        return "date"
    if is_many and not options.max_categories:
        return _guess_texts(values, count) or "category"
    return "category"


def _guess_texts(values: pd.Series, count: int) -> str:
    """Return whether many different texts are identifiers or long texts; empty if neither."""
    known = values.dropna()
    words = float(np.mean([len(str(each).split()) for each in known]))
    is_unique = len(known) - count < MIN_REPEATED * len(known)
    if words >= MIN_WORDS or (is_unique and words >= MIN_WORDS / 2):
        return "text"
    return "identifier" if is_unique else ""


def _explain(values: pd.Series, kind: str) -> str:
    """Say why a column is left out."""
    known = values.dropna()
    count = known.nunique()
    if kind == "text":
        return f"has long texts, such as '{_shorten(known.iloc[0])}'"
    if count == len(known):
        return "has a different text in every row"
    return f"has {count:,} different texts in {len(known):,} rows"


def _is_boolean(values: pd.Series) -> bool:
    """Whether the values are True and False, perhaps with gaps."""
    from pandas.api import types

    if types.is_bool_dtype(values):
        return True
    return values.dtype == object and all(
        isinstance(each, (bool, np.bool_)) for each in values.dropna().unique()
    )


def _are_numbers(values: pd.Series, name: str) -> bool:
    """Whether the texts are plain numbers, as in a mixed column.

    Raises DataError if a few texts are among many numbers.
    """
    import pandas as pd

    known = values.dropna().map(str)
    numbers = pd.to_numeric(known, errors="coerce")
    texts = known[numbers.isna()]
    if numbers.nunique() > MAX_FEW and len(texts):
        column = values.name
        raise DataError(
            f"{name}: column '{column}' holds numbers, and {len(texts):,} times a text such "
            f"as '{texts.iloc[0][:40]}'; write numbers instead, count the texts as missing by "
            f'[data.columns] {format_toml_key(column)} = "number", or leave the column out by '
            f"[data] ignore = {format_toml_list(column)}"
        )
    return not len(texts)


def _plan_number(
    values: pd.Series, numbers: Numbers | None, name: str, first_row: int
) -> ColumnPlan:
    from pandas.api import types

    column = Column(str(values.name), "number", mark=numbers.mark if numbers else "")
    if types.is_numeric_dtype(values):
        raw = values.to_numpy(np.float64, na_value=np.nan)
        known = np.where(np.isnan(raw), 0, raw)
        to_finite_float32(known, name, f"column '{values.name}'", first_row)
    cells = numbers.values if numbers else column.read_cells(values)
    lost = int(np.isnan(cells).sum() - values.isna().sum())
    if np.isnan(cells).all():
        raise DataError(
            f'[data.columns] {format_toml_key(values.name)} = "number": {name} has no number '
            f"there, but texts such as '{_shorten(values.dropna().iloc[0])}'"
        )
    note = f"!{lost:,} texts that are no numbers count as missing" if lost > 0 else ""
    return ColumnPlan(column.name, column, cells, "number", note=note)


def _plan_times(values: pd.Series, kind: str, name: str) -> ColumnPlan:
    from pandas.api import types

    column, texts, order, note = str(values.name), list_texts(values), "", ""
    if kind == "time" or (
        (
            not types.is_datetime64_any_dtype(values)
            and all(map(is_time, texts))
            and np.isnan([read_seconds(text, "dmy") for text in texts]).any()
        )
        or all(":" in text and is_time(text) for text in texts)
    ):
        order = "time"
    elif kind in ("date-dmy", "date-mdy"):
        order = kind.removeprefix("date-")
    elif not types.is_datetime64_any_dtype(values):
        order, is_certain = guess_order(texts)
        if not is_certain:
            other = "dmy" if order == "mdy" else "mdy"
            first = "the month" if order == "mdy" else "the day"
            note = (
                f"dates such as '{texts[0]}' are read with {first} first; if not, set "
                f'[data.columns] {format_toml_key(column)} = "date-{other}"'
            )
    made = Column(column, "time" if order == "time" else "date", order=order)
    cells = made.read_cells(values)
    lost = int(np.isnan(cells).sum() - values.isna().sum())
    if np.isnan(read_times(values, order)).all():
        raise DataError(
            f'[data.columns] {format_toml_key(column)} = "{kind}": {name} has no date or time '
            f"there, but values such as '{_shorten(values.dropna().iloc[0])}'"
        )
    if lost:
        note = f"!{lost:,} values that are no dates count as missing"
    return ColumnPlan(column, made, cells, made.kind, note=note)


def _leave_out(column: str, kind: str, reason: str) -> ColumnPlan:
    return ColumnPlan(column, None, np.zeros(0), kind, reason)


def _shorten(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."
