"""Read a CSV or Excel table as features and labels.

Columns of numbers are kept, True and False become 1 and 0, and a column of texts becomes one column
of 0 and 1 for each of its values, named `column=value` (one-hot). The first row has the columns'
names. Of an Excel file, the first sheet is read.
"""

from __future__ import annotations

import csv
import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.data.npz import to_finite_float32
from harness.data.types import Array, DataOptions, DatasetArrays
from harness.errors import DataError, did_you_mean
from harness.results import Task

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 1000
"""A column of more different texts than this is a name or an ID, not a category."""
MAX_NUMERIC_CATEGORIES = 20
"""A column of categories may contain so many different numbers, such as 1, 2 and 3+."""
UNNAMED = r"Unnamed: \d+"
"""How pandas names a column without a name."""
FIRST_ROW = 2
"""The number that editors and spreadsheets give the first row below the columns' names."""
SHOWN_COLUMNS = 8
"""How many columns an error lists."""


def decode(path: Path, name: str, options: DataOptions) -> DatasetArrays:
    """Decode the table. Raises DataError if it cannot be trained on."""
    table = read_table(path, name, options.ignore)
    target = options.target
    if target not in table.columns:
        known = did_you_mean(target, table.columns)
        raise DataError(
            f"[data] target: {name} has no column '{target}'{known}"
            if target
            else f"[data] target: {name} is a table: name the column to predict{known}"
        )
    missing = table.isna().sum()
    if missing.any():
        counts = missing[missing > 0].sort_values(ascending=False, kind="stable")
        others = [column for column in counts.index if column != target]
        ignore = (
            f", or leave columns out by [data] ignore = {_format_toml_list(*others)}"
            if others
            else ""
        )
        raise DataError(
            f"{name}: missing values in {len(counts)} of {len(missing)} columns: "
            f"{_join_names([f'{column} {count:,}' for column, count in counts.items()])}; fill them"
            f"{ignore}"
        )
    inputs, columns, indicators = _encode_features(table.drop(columns=target), name)
    labels, classes = _encode_labels(table[target], name, options)
    return DatasetArrays(
        inputs, labels, None, classes, 1.0,
        columns=columns, indicators=indicators, target=target,
    )  # fmt: skip


def guess_task(values: pd.Series) -> Task:
    """Guess "regression" if the target has many different numbers, or some that are not whole."""
    from pandas.api import types

    if types.is_bool_dtype(values) or not types.is_numeric_dtype(values):
        return "classes"
    known = values.dropna()
    are_whole = bool((known == np.floor(known)).all())
    return "classes" if are_whole and known.nunique() <= MAX_NUMERIC_CATEGORIES else "regression"


def find_useless_columns(table: pd.DataFrame) -> dict[str, str]:
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
        elif texts > MAX_CATEGORIES or (texts == len(values) > MAX_NUMERIC_CATEGORIES):
            reasons[column] = "another text in every row"
    return reasons


def read_table(
    path: Path, name: str, ignore: tuple[str, ...] = (), strict: bool = True
) -> pd.DataFrame:
    """Read a table without the columns to `ignore`; `strict` refuses a column without a name.

    Raises DataError.
    """
    import pandas as pd

    try:
        if path.suffix.lower() == ".xlsx":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # openpyxl's, about colours and the like
                head, table = pd.read_excel(path, header=None, nrows=1), pd.read_excel(path)
        else:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                first = stream.readline()
            separator = max(",;\t", key=first.count)
            head = pd.DataFrame(list(csv.reader([first], delimiter=separator)))
            table = pd.read_csv(path, sep=separator, encoding="utf-8-sig", low_memory=False)
    except Exception as error:  # openpyxl raises anything
        reason = " ".join(str(error).split()) or repr(error)
        if uneven := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", reason):
            expected, line, count = uneven.groups()
            raise DataError(
                f"{name}: line {line} has {count} values and those before it {expected}; put "
                "quotes around values that contain a separator"
            ) from None
        raise DataError(
            f"{name}: cannot be read as a table ({reason}); save it as .xlsx or UTF-8 text"
        ) from None
    if table.empty:
        raise DataError(f"{name}: has no rows below its column names")
    columns = [str(column) for column in head.iloc[0]]
    for column in columns:
        if columns.count(column) > 1 and column not in ("", "nan", *ignore):
            raise DataError(f"{name}: two columns are called '{column}'; rename one of them")
    if len(table.columns) != len(columns) or not table.index.equals(pd.RangeIndex(len(table))):
        raise DataError(
            f"{name}: its rows have more values than its first row has names; name every column"
        )
    table.columns = table.columns.map(str)
    for column in ignore:
        if column not in table.columns:
            raise DataError(
                f"[data] ignore: {name} has no column '{column}'"
                f"{did_you_mean(column, table.columns)}"
            )
    table = table.drop(columns=list(ignore))
    for column in table.columns:
        if strict and re.fullmatch(UNNAMED, column):
            number = int(column.removeprefix("Unnamed: ")) + 1
            raise DataError(
                f"{name}: column {number} has no name; name it, or "
                f"leave it out by [data] ignore = {_format_toml_list(column)}"
            )
    return table


def _encode_features(
    table: pd.DataFrame, name: str
) -> tuple[Array, tuple[str, ...], tuple[int, ...]]:
    """Return features float32 [N, D], their names, and the indices of those that are one-hot."""
    from pandas.api import types

    features: list[Array] = []
    columns: list[str] = []
    indicators: list[int] = []
    for column in table.columns:
        values = table[column]
        if types.is_bool_dtype(values):
            indicators.append(len(columns))
            columns.append(column)
            features.append(values.to_numpy(np.float32))
        elif (numbers := _to_numbers(values, name)) is not None:
            columns.append(column)
            features.append(to_finite_float32(numbers, name, f"column '{column}'", FIRST_ROW))
        elif types.is_datetime64_any_dtype(values):
            raise DataError(
                f"{name}: column '{column}' holds dates; write them as numbers, or leave it out by "
                f"[data] ignore = {_format_toml_list(column)}"
            )
        else:
            texts = values.map(str)
            categories = sorted(texts.unique())
            if len(categories) > MAX_CATEGORIES:
                raise DataError(
                    f"{name}: column '{column}' has {len(categories):,} different texts, such as "
                    f"'{categories[0][:40]}', and would become as many columns; leave it out by "
                    f"[data] ignore = {_format_toml_list(column)}"
                )
            indicators += range(len(columns), len(columns) + len(categories))
            columns += [f"{column}={category}" for category in categories]
            features += [(texts == category).to_numpy(np.float32) for category in categories]
    if not features:
        raise DataError(f"{name}: no column is left except the target")
    return np.stack(features, 1), tuple(columns), tuple(indicators)


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
    if numbers.nunique() > MAX_NUMERIC_CATEGORIES and len(texts):
        raise DataError(
            f"{name}: column '{values.name}' holds numbers, and {len(texts):,} times a text such "
            f"as '{str(texts.iloc[0])[:40]}'; write numbers instead, or leave the column out by "
            f"[data] ignore = {_format_toml_list(values.name)}"
        )
    return None if len(texts) else numbers.to_numpy()


def _encode_labels(
    values: pd.Series, name: str, options: DataOptions
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
        return to_finite_float32(
            values.to_numpy(), name, f"the target '{options.target}'", FIRST_ROW
        ), ()
    if numeric:
        numbers = to_finite_float32(
            values.to_numpy(), name, f"the target '{options.target}'", FIRST_ROW
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


def _join_names(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN_COLUMNS} more" if len(items) > SHOWN_COLUMNS else ""
    return ", ".join(items[:SHOWN_COLUMNS]) + more


def _format_toml_list(*columns: object) -> str:
    return json.dumps(list(map(str, columns)), ensure_ascii=False)
