"""A CSV or Excel file -> features and labels.

Numbers stay as they are, one column each; True and False become 1 and 0; a column of texts becomes
one column of 0 and 1 for each of its values, named `column=value` (one-hot). The first row names
the columns. Of an Excel file the first sheet is read.
"""

from __future__ import annotations

import csv
import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.data.npz import finite
from harness.data.types import Array, DataOptions, Decoded
from harness.errors import DataError, did_you_mean
from harness.results import Task

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES = 1000
"""Of a column of texts: with more it is a name or a number of the row."""
MOST_CODES = 20
"""Numbers that may stand among the texts of a column of categories, such as 1, 2 and 3+."""
UNNAMED = r"Unnamed: \d+"
"""pandas' word for it."""
FIRST_ROW = 2
"""As editors and spreadsheets count: the first row has the columns' names."""
SHOWN = 8
"""Columns in an error."""


def decode(path: Path, name: str, asked: DataOptions) -> Decoded:
    """Raises DataError for a table that cannot be trained on."""
    table = read(path, name, asked.ignore)
    if asked.target not in table.columns:
        given = asked.target
        raise DataError(
            f"[data] target: {name} has no column '{given}'{did_you_mean(given, table.columns)}"
            if given
            else f"[data] target: {name} is a table: name the column to predict"
            f"{did_you_mean('', table.columns)}"
        )
    missing = table.isna().sum()
    if missing.any():
        counts = missing[missing > 0].sort_values(ascending=False, kind="stable")
        others = [column for column in counts.index if column != asked.target]
        out = f", or leave columns out by [data] ignore = {_toml(*others)}" if others else ""
        raise DataError(
            f"{name}: missing values in {len(counts)} of {len(missing)} columns: "
            f"{_listed([f'{column} {count:,}' for column, count in counts.items()])}; fill them"
            f"{out}"
        )
    inputs, columns, indicators = _features(table.drop(columns=asked.target), name)
    labels, classes = _labels(table[asked.target], name, asked)
    return Decoded(
        inputs, labels, None, classes, 1.0,
        columns=columns, indicators=indicators, target=asked.target,
    )  # fmt: skip


def guess(values: pd.Series) -> Task:
    """What predicting a column is: a regression where it holds many numbers, or no whole ones."""
    from pandas.api import types

    if types.is_bool_dtype(values) or not types.is_numeric_dtype(values):
        return "classes"
    known = values.dropna()
    whole = bool((known == np.floor(known)).all())
    return "classes" if whole and known.nunique() <= MOST_CODES else "regression"


def useless(table: pd.DataFrame) -> dict[str, str]:
    """Columns to leave out, and what they hold that tells nothing or cannot be read."""
    from pandas.api import types

    found = {}
    for column in table.columns:
        values = table[column]
        texts = values.nunique() if not types.is_numeric_dtype(values) else 0
        if values.isna().all():
            found[column] = "is empty"
        elif re.fullmatch(UNNAMED, column):
            found[column] = "has no name"
        elif types.is_datetime64_any_dtype(values):
            found[column] = "holds dates"
        elif types.is_integer_dtype(values) and len(values) > 2 and (values.diff()[1:] == 1).all():
            found[column] = "numbers the rows"
        elif texts > MOST_VALUES or (texts == len(values) > MOST_CODES):
            found[column] = "another text in every row"
    return found


def read(path: Path, name: str, ignore: tuple[str, ...] = (), strict: bool = True) -> pd.DataFrame:
    """The table without the columns that are left out; `strict` refuses one without a name.

    Raises DataError.
    """
    import pandas as pd

    try:
        if path.suffix.lower() == ".xlsx":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # openpyxl's, of colours and the like
                head, table = pd.read_excel(path, header=None, nrows=1), pd.read_excel(path)
        else:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                first = stream.readline()
            comma = max(",;\t", key=first.count)
            head = pd.DataFrame(list(csv.reader([first], delimiter=comma)))
            table = pd.read_csv(path, sep=comma, encoding="utf-8-sig", low_memory=False)
    except Exception as error:  # openpyxl raises anything
        why = " ".join(str(error).split()) or repr(error)
        if uneven := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", why):
            expected, line, saw = uneven.groups()
            raise DataError(
                f"{name}: line {line} has {saw} values and those before it {expected}; put a value "
                "that has a separator in it into quotes"
            ) from None
        raise DataError(
            f"{name}: cannot be read as a table ({why}); save it as .xlsx or UTF-8 text"
        ) from None
    if table.empty:
        raise DataError(f"{name}: holds no rows below its column names")
    names = [str(each) for each in head.iloc[0]]
    for each in names:
        if names.count(each) > 1 and each not in ("", "nan", *ignore):
            raise DataError(f"{name}: two columns are called '{each}'; rename one of them")
    if len(table.columns) != len(names) or not table.index.equals(pd.RangeIndex(len(table))):
        raise DataError(
            f"{name}: its rows have more values than its first row names; name every column"
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
            place = int(column.removeprefix("Unnamed: ")) + 1
            raise DataError(
                f"{name}: column {place} has no name; name it, or "
                f"leave it out by [data] ignore = {_toml(column)}"
            )
    return table


def _features(table: pd.DataFrame, name: str) -> tuple[Array, tuple[str, ...], tuple[int, ...]]:
    """float32 [N, D], the columns' names, and which are 0 or 1 for a category."""
    from pandas.api import types

    found: list[Array] = []
    columns: list[str] = []
    indicators: list[int] = []
    for column in table.columns:
        values = table[column]
        if types.is_bool_dtype(values):
            indicators.append(len(columns))
            columns.append(column)
            found.append(values.to_numpy(np.float32))
        elif (numbers := _numbers(values, name)) is not None:
            columns.append(column)
            found.append(finite(numbers, name, f"column '{column}'", FIRST_ROW))
        elif types.is_datetime64_any_dtype(values):
            raise DataError(
                f"{name}: column '{column}' holds dates; write them as numbers, or leave it out by "
                f"[data] ignore = {_toml(column)}"
            )
        else:
            texts = values.map(str)
            known = sorted(texts.unique())
            if len(known) > MOST_VALUES:
                raise DataError(
                    f"{name}: column '{column}' has {len(known):,} unlike texts, such as "
                    f"'{known[0][:40]}', and would become as many columns; leave it out by [data] "
                    f"ignore = {_toml(column)}"
                )
            indicators += range(len(columns), len(columns) + len(known))
            columns += [f"{column}={each}" for each in known]
            found += [(texts == each).to_numpy(np.float32) for each in known]
    if not found:
        raise DataError(f"{name}: no column is left beside the target")
    return np.stack(found, 1), tuple(columns), tuple(indicators)


def _numbers(values: pd.Series, name: str) -> Array | None:
    """Of a column that holds nothing else. Raises DataError where few texts stand among many."""
    import pandas as pd
    from pandas.api import types

    if types.is_numeric_dtype(values):
        return values.to_numpy()
    if types.is_datetime64_any_dtype(values):
        return None
    numbers = pd.to_numeric(values, errors="coerce")
    texts = values[numbers.isna()]
    if numbers.nunique() > MOST_CODES and len(texts):
        raise DataError(
            f"{name}: column '{values.name}' holds numbers, and {len(texts):,} times a text such "
            f"as '{str(texts.iloc[0])[:40]}'; write numbers there, or leave the column out by "
            f"[data] ignore = {_toml(values.name)}"
        )
    return None if len(texts) else numbers.to_numpy()


def _labels(values: pd.Series, name: str, asked: DataOptions) -> tuple[Array, tuple[str, ...]]:
    """float32 for a regression, else int64 and the classes' names, numbers in their order."""
    from pandas.api import types

    numeric = types.is_numeric_dtype(values) and not types.is_bool_dtype(values)
    if asked.task == "regression":
        if not numeric:
            raise DataError(
                f"[data] target: column '{asked.target}' of {name} holds texts, such as "
                f"'{str(values.iloc[0])[:40]}'; a regression needs numbers; leave out [data] task "
                "to tell classes apart"
            )
        return finite(values.to_numpy(), name, f"the target '{asked.target}'", FIRST_ROW), ()
    if numeric:
        numbers = finite(values.to_numpy(), name, f"the target '{asked.target}'", FIRST_ROW)
        whole = numbers == np.floor(numbers)
        if not whole.all():
            raise DataError(
                f"[data] target: column '{asked.target}' of {name} holds numbers such as "
                f'{numbers[~whole][0]:g}; predict them by task = "regression"'
            )
        values = values.astype(np.int64)
    else:
        values = values.map(str)
    found, labels = np.unique(values.to_numpy(), return_inverse=True)
    return labels.astype(np.int64), tuple(map(str, found))


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _toml(*columns: object) -> str:
    return json.dumps(list(map(str, columns)), ensure_ascii=False)
