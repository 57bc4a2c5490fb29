"""Read a CSV or Excel table as features and labels.

Columns of numbers are kept, True and False become 1 and 0, and a column of texts becomes one column
of 0 and 1 for each of its values, named `column=value` (one-hot). The first row has the columns'
names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.data.column_types import (
    Numbers,
    are_dates_or_times,
    describe_numbers,
    join_names,
    replace_columns,
    shorten_description,
)
from harness.data.float32 import check_targets, find_offset, to_finite_float32
from harness.data.similar_names import describe_similar_names
from harness.data.table import Table, format_toml_list
from harness.data.table_files import read_table
from harness.data.types import Array, DataOptions, DatasetArrays
from harness.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 50
"""A column of more different texts than this may be a name, an ID or a date, not a category."""
MAX_FEW = 20
"""A column of categories may contain so many different numbers, such as 1, 2 and 3+, or dates."""


def decode(path: Path, name: str, options: DataOptions) -> DatasetArrays:
    """Decode the table. Raises DataError if it cannot be trained on."""
    table = read_table(path, name, options)
    frame, target = table.frame, options.target
    if target not in frame.columns:
        known = did_you_mean(target, frame.columns)
        raise DataError(
            f"[data] target: {name} has no column '{target}'{known}"
            if target
            else f"[data] target: {name} is a table: name the column to predict{known}"
        )
    _check_missing(table, path, name, options)
    columns = [str(each) for each in frame if each != target or options.task == "regression"]
    numbers = table.recognise_numbers(columns, options.decimal)
    frame = replace_columns(frame, numbers)
    features = _encode_features(frame.drop(columns=target), name, options, table.first_row)
    labels, classes = _encode_labels(frame[target], name, options, table.first_row)
    if options.task == "classes" and frame[target].nunique() > MAX_FEW:
        texts = table.recognise_numbers([target], options.decimal)
        _refuse_fractions(target, texts.get(target), name)
    marks = describe_numbers(numbers, options.decimal)
    notes = [*table.notes, *(f"{name}: {mark}" for mark in marks), *features.describe(name, frame)]
    return DatasetArrays(
        features.values, labels, None, classes, 1.0,
        columns=features.names, indicators=features.indicators, target=target,
        notes=tuple(notes),
        values=(*table.values, *map(shorten_description, marks), *features.shifts),
    )  # fmt: skip


def _check_missing(table: Table, path: Path, name: str, options: DataOptions) -> None:
    """Raise DataError if a value is missing."""
    frame = table.frame
    missing = frame.isna().sum()
    if not missing.any():
        return
    counts = missing[missing > 0].sort_values(ascending=False, kind="stable")
    others = [column for column in counts.index if column != options.target]
    advice = f", or leave columns out by [data] ignore = {format_toml_list(*others)}"
    cells = read_table(path, name, replace(options, missing=())).frame
    texts = {
        str(text)
        for column in counts.index
        for text in cells[column][frame[column].isna()].dropna().unique()
    }
    listed = join_names([f"{column} {count:,}" for column, count in counts.items()])
    raise DataError(
        f"{name}: missing values in {len(counts)} of {len(missing)} columns: {listed}; fill them"
        + (advice if others else "")
        + (f"; {_describe_texts(texts)}" if texts else "")
    )


def _describe_texts(texts: set[str]) -> str:
    listed = join_names([f"'{text}'" for text in sorted(texts)])
    many = len(texts) > 1
    return (
        f"the {'texts' if many else 'text'} {listed} {'count' if many else 'counts'} as missing; "
        f"to read {'them' if many else 'it'} as any other text, set [data] missing = []"
    )


def _refuse_fractions(target: str, numbers: Numbers | None, name: str) -> None:
    """Raise DataError if the many texts to predict are numbers that are not whole."""
    if numbers is not None and (numbers.values != np.floor(numbers.values)).any():
        raise DataError(
            f"[data] target: column '{target}' of {name} holds numbers such as "
            f"'{numbers.example}'; predict them by task = \"regression\""
        )


@dataclass(frozen=True)
class Features:
    """The columns of a table as numbers."""

    values: Array
    """float32 [N, D]."""
    names: tuple[str, ...]
    indicators: tuple[int, ...]
    """Indices of the features that are one-hot."""
    categories: dict[str, int]
    """The number of categories of each column of texts."""
    shifts: tuple[str, ...]
    """The features from whose values a number was subtracted."""

    def describe(self, name: str, frame: pd.DataFrame) -> list[str]:
        """Describe what the columns became, for people."""
        notes = []
        if self.categories:
            listed = join_names([f"{column} {count}" for column, count in self.categories.items()])
            columns = len(frame.columns) - 1
            notes.append(
                f"{name}: {columns} {'columns' if columns > 1 else 'column'} became "
                f"{len(self.names):,} {'features' if len(self.names) > 1 else 'feature'}, one for "
                f"each category of a text ({listed})"
            )
        notes += (
            f"{name}: the feature '{shift}' is a difference, because float32 cannot tell the "
            "column's values apart"
            for shift in self.shifts
        )
        categories = [self.names[index] for index in self.indicators]
        return [*notes, *describe_similar_names(categories, name, "categories")]


def _encode_features(
    table: pd.DataFrame, name: str, options: DataOptions, first_row: int
) -> Features:
    from pandas.api import types

    features: list[Array] = []
    columns: list[str] = []
    indicators: list[int] = []
    counts: dict[str, int] = {}
    shifts: list[str] = []
    for column in table.columns:
        values = table[column]
        if types.is_bool_dtype(values):
            indicators.append(len(columns))
            columns.append(column)
            features.append(values.to_numpy(np.float32))
        elif (numbers := _to_numbers(values, name)) is not None:
            if offset := find_offset(numbers):
                numbers = numbers.astype(np.float64) - offset
                shifts.append(f"{column} - {offset:.17g}")
            columns.append(shifts[-1] if offset else column)
            features.append(to_finite_float32(numbers, name, f"column '{column}'", first_row))
        else:
            texts = values.map(str)
            categories = sorted(texts.unique())
            _check_categories(column, categories, values, name, options)
            counts[column] = len(categories)
            indicators += range(len(columns), len(columns) + len(categories))
            columns += [f"{column}={category}" for category in categories]
            features += [(texts == category).to_numpy(np.float32) for category in categories]
    if not features:
        ignored = join_names([f"'{each}'" for each in options.ignore])
        why = f"[data] ignore leaves out {ignored}" if ignored else "it has no other"
        raise DataError(f"{name}: no column is left except the target '{options.target}': {why}")
    return Features(np.stack(features, 1), tuple(columns), tuple(indicators), counts, tuple(shifts))


def _check_categories(
    column: str, categories: list[str], values: pd.Series, name: str, options: DataOptions
) -> None:
    """Raise DataError for a column of dates, or of too many texts."""
    from pandas.api import types

    count, example = len(categories), categories[0][:40]
    ignore = f"leave it out by [data] ignore = {format_toml_list(column)}"
    if types.is_datetime64_any_dtype(values):
        raise DataError(
            f"{name}: column '{column}' holds dates; write them as numbers, or {ignore}"
        )
    limit = options.max_categories or max(MAX_FEW, min(MAX_CATEGORIES, len(values) // 2))
    if count > limit or count > options.max_categories > 0:
        are_dates = are_dates_or_times(values)
        what = "dates or times" if are_dates else "texts"
        advice = "write them as numbers, " if are_dates else ""
        raise DataError(
            f"{name}: column '{column}' has {count:,} different {what}, such as '{example}', and "
            f"would become as many columns; {advice}{ignore}, or allow it by [data] "
            f"max_categories = {count}"
        )
    if not options.max_categories and count > MAX_FEW and are_dates_or_times(values):
        raise DataError(
            f"{name}: column '{column}' holds dates or times, such as '{example}'; write them as "
            f"numbers, {ignore}, or read them as {count} categories by [data] max_categories = "
            f"{count}"
        )


def _to_numbers(values: pd.Series, name: str) -> Array | None:
    """Return a column's values if all are numbers, else None.

    Raises DataError if a few texts are among many numbers.
    """
    import pandas as pd
    from pandas.api import types

    if types.is_numeric_dtype(values):
        return values.to_numpy()
    if types.is_datetime64_any_dtype(values):
        return None
    numbers = pd.to_numeric(values, errors="coerce")
    texts = values[numbers.isna()]
    if numbers.nunique() > MAX_FEW and len(texts):
        raise DataError(
            f"{name}: column '{values.name}' holds numbers, and {len(texts):,} times a text such "
            f"as '{str(texts.iloc[0])[:40]}'; write numbers instead, or leave the column out by "
            f"[data] ignore = {format_toml_list(values.name)}"
        )
    return None if len(texts) else numbers.to_numpy()


def _encode_labels(
    values: pd.Series, name: str, options: DataOptions, first_row: int
) -> tuple[Array, tuple[str, ...]]:
    """Return targets float32 and no classes, or labels int64 and the sorted classes' names."""
    from pandas.api import types

    numeric = types.is_numeric_dtype(values) and not types.is_bool_dtype(values)
    if options.task == "regression":
        if not numeric:
            raise DataError(
                f"[data] target: column '{options.target}' of {name} holds texts, such as "
                f"'{str(values.iloc[0])[:40]}'; a regression needs numbers; leave out [data] task "
                "for classification"
            )
        check_targets(values.to_numpy(), name)
        return to_finite_float32(
            values.to_numpy(), name, f"the target '{options.target}'", first_row
        ), ()
    if numeric:
        numbers = to_finite_float32(
            values.to_numpy(), name, f"the target '{options.target}'", first_row
        )
        is_whole = numbers == np.floor(numbers)
        if not is_whole.all():
            raise DataError(
                f"[data] target: column '{options.target}' of {name} holds numbers such as "
                f'{numbers[~is_whole][0]:g}; predict them by task = "regression"'
            )
        values = values.astype(np.int64)
    else:
        values = values.map(str)
    classes, labels = np.unique(values.to_numpy(), return_inverse=True)
    return labels.astype(np.int64), tuple(map(str, classes))
