"""Guess the task and the useless columns of a table, for `harness new-study`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from harness.data.column_types import are_dates_or_times
from harness.data.table_files import UNNAMED
from harness.data.tabular import MAX_CATEGORIES, MAX_FEW
from harness.data.types import DataOptions
from harness.results import Task

if TYPE_CHECKING:
    import pandas as pd


def guess_task(values: pd.Series) -> Task:
    """Guess "regression" if the target has many different numbers, or some that are not whole."""
    from pandas.api import types

    if types.is_bool_dtype(values) or not types.is_numeric_dtype(values):
        return "classes"
    known = values.dropna()
    are_whole = bool((known == np.floor(known)).all())
    return "classes" if are_whole and known.nunique() <= MAX_FEW else "regression"


def find_useless_columns(table: pd.DataFrame, options: DataOptions) -> dict[str, str]:
    """Return the columns to leave out, and why: they carry no information or cannot be read."""
    from pandas.api import types

    reasons = {}
    for column in table.columns:
        values = table[column]
        texts = values.nunique() if not types.is_numeric_dtype(values) else 0
        if values.isna().all():
            reasons[column] = "is empty"
        elif re.fullmatch(UNNAMED, column):
            reasons[column] = "has no name"
        elif types.is_datetime64_any_dtype(values):
            reasons[column] = "holds dates"
        elif types.is_integer_dtype(values) and len(values) > 2 and (values.diff()[1:] == 1).all():
            reasons[column] = "numbers the rows"
        elif options.max_categories:
            continue
        elif texts > MAX_FEW and are_dates_or_times(values):
            reasons[column] = "holds dates or times"
        elif texts == len(values) > MAX_FEW:
            reasons[column] = "has another text in every row"
        elif texts > max(MAX_FEW, min(MAX_CATEGORIES, len(values) // 2)):
            reasons[column] = f"has {texts:,} different texts"
    return reasons
