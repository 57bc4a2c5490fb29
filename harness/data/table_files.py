"""Read the cells of a CSV, Excel, Parquet or Feather file, with the columns' names.

Each guess is a note for the user.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.arrow_files import ARROW_SUFFIXES, read_arrow
from harness.data.column_types import look_like_values
from harness.data.excel_files import read_excel
from harness.data.table import Table, format_toml_list
from harness.data.text_files import read_text
from harness.data.types import DataOptions
from harness.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

UNNAMED = r"Unnamed: \d+"
"""How pandas names a column without a name."""


def read_table(
    path: Path, name: str, options: DataOptions, strict: bool = True, texts: bool = False
) -> Table:
    """Read a table without the columns to ignore.

    `strict` refuses a column without a name. `texts` leaves the numbers of a text file as texts.

    Raises DataError.
    """
    try:
        suffix = path.suffix.lower()
        if suffix in ARROW_SUFFIXES:
            names, table = read_arrow(path, name, options)
        elif suffix == ".xlsx":
            names, table = read_excel(path, name, options)
        else:
            names, table = read_text(path, name, options, texts)
    except DataError:
        raise
    except Exception as error:  # openpyxl raises anything
        raise _explain(name, error) from None
    table = _drop_empty(table, name)
    names = _drop_unnamed(names, table)
    frame, ignore = table.frame, options.ignore
    if frame.empty:
        raise DataError(f"{name}: has no rows below its column names{_list_notes(table)}")
    repeated = {each for each in names if names.count(each) > 1 and each not in ("", "nan")}
    for column in sorted(repeated - {*ignore}):
        raise DataError(
            f"{name}: two columns are called '{column}'; rename one of them, or leave both out by "
            f"[data] ignore = {format_toml_list(column)}"
        )
    if len(frame.columns) != len(names) or not _counts_rows(frame):
        raise DataError(
            f"{name}: its rows have more values than its first row has names; name every column"
        )
    mangled = [str(column) for column in frame.columns]  # pandas calls the second id.1
    frame.columns = [
        each if each in repeated else column for each, column in zip(names, mangled, strict=True)
    ]
    for column in ignore:
        if column not in frame.columns and column not in mangled:
            raise DataError(
                f"[data] ignore: {name} has no column '{column}'"
                f"{did_you_mean(column, frame.columns)}"
            )
    ignored = frame.loc[:, frame.columns.isin(ignore)]
    kept = frame.loc[:, ~frame.columns.isin(ignore)]
    notes, values = list(table.notes), list(table.values)
    if look_like_values(names):
        row = ", ".join(names[:3])
        notes.append(f"{name}: columns are named after row 1 ({row}); if it has data, add names")
    for column in sorted(repeated):
        count = names.count(column)
        notes.append(f"{name}: left out {count} columns called '{column}'")
        values.append(f"without {count} columns '{column}'")
    first = str(kept.columns[0]) if len(kept.columns) else ""
    if strict and re.fullmatch(UNNAMED, first) and numbers_rows(kept[first]):
        kept, ignored = kept.drop(columns=first), ignored.join(kept[[first]])
        notes.append(f"{name}: left out the first column, which has no name and numbers the rows")
    for column in kept.columns:
        if strict and re.fullmatch(UNNAMED, column):
            number = int(column.removeprefix("Unnamed: ")) + 1
            raise DataError(
                f"{name}: column {number} has no name; name it, or "
                f"leave it out by [data] ignore = {format_toml_list(column)}"
            )
    return replace(table, frame=kept, notes=tuple(notes), values=tuple(values), ignored=ignored)


def numbers_rows(values: pd.Series) -> bool:
    """Whether the values are whole numbers, each one more than the last."""
    from pandas.api import types

    is_integer = types.is_integer_dtype(values) and len(values) > 1
    return bool(is_integer and (values.diff()[1:] == 1).all())


def _drop_empty(table: Table, name: str) -> Table:
    """Return the table without empty rows, and without empty columns that have no name."""
    frame, notes = table.frame, list(table.notes)
    if not _counts_rows(frame):  # more values than names
        return table
    is_empty = frame.isna().all(axis=1)
    if is_empty.any() and not is_empty.all():
        count = int(is_empty.sum())
        notes.append(f"{name}: left out {count:,} empty {'row' if count == 1 else 'rows'}")
        frame = frame[~is_empty].reset_index(drop=True)
    unused = [
        column
        for column in frame.columns
        if re.fullmatch(UNNAMED, str(column)) and frame[column].isna().all()
    ]
    return replace(table, frame=frame.drop(columns=unused), notes=tuple(notes))


def _drop_unnamed(names: list[str], table: Table) -> list[str]:
    """Return the columns' names as they are in the file, without those of dropped columns."""
    if len(names) == len(table.frame.columns):
        return names
    kept = {*map(str, table.frame.columns)}
    return [
        each
        for place, each in enumerate(names)
        if each not in ("", "nan") or f"Unnamed: {place}" in kept
    ]


def _counts_rows(frame: pd.DataFrame) -> bool:
    import pandas as pd

    return frame.index.equals(pd.RangeIndex(len(frame)))


def _list_notes(table: Table) -> str:
    return "".join(f" ({note.partition(': ')[2]})" for note in table.notes)


def _explain(name: str, error: Exception) -> DataError:
    if isinstance(error, UnicodeDecodeError):
        return DataError(
            f'{name}: is not {error.encoding.upper()} text; save it as "CSV UTF-8" or as .xlsx, '
            'or set [data] encoding = "..."'
        )
    reason = " ".join(str(error).split()) or repr(error)
    if uneven := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", reason):
        expected, line, count = uneven.groups()
        return DataError(
            f"{name}: line {line} has {count} values and those before it {expected}; put "
            "quotes around values that contain a separator"
        )
    return DataError(
        f"{name}: cannot be read as a table ({reason}); save it as .xlsx or UTF-8 text"
    )
