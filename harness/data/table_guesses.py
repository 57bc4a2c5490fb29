"""Guess the task and the useless columns of a table, for `harness new-study`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.data.column_kinds import MAX_FEW, ColumnPlan
from harness.data.table_files import UNNAMED, numbers_rows
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


def find_useless_columns(
    frame: pd.DataFrame, plans: Sequence[ColumnPlan], options: DataOptions
) -> dict[str, str]:
    """Return the columns to leave out, and why: they carry no information or cannot be read."""
    kept = {options.group, options.time, *dict(options.columns)}
    reasons = {}
    for plan in plans:
        values = frame[plan.name]
        if plan.name in kept:
            continue
        if plan.kind == "empty":
            reasons[plan.name] = plan.reason
        elif re.fullmatch(UNNAMED, plan.name):
            reasons[plan.name] = "has no name"
        elif len(values) > 2 and numbers_rows(values):
            reasons[plan.name] = "numbers the rows"
        elif plan.column is None:
            reasons[plan.name] = plan.reason
    return reasons
