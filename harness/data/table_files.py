"""Read the cells of a CSV or Excel file, with the columns' names.

A text file may begin with Excel's `sep=;`, with blank lines and with lines of `#` comments. The
separator is the one that splits the first rows evenly; inside quotes it does not count. Of an
Excel file, one sheet that is not hidden is read. Each guess is a note for the user.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.column_types import (
    Numbers,
    have_grouped_digits,
    look_like_values,
    recognise_columns,
    recognise_numbers,
)
from harness.data.types import DataOptions
from harness.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"
SAMPLE = 200
"""Lines that the separator is chosen by."""
UNNAMED = r"Unnamed: \d+"
"""How pandas names a column without a name."""


@dataclass(frozen=True)
class Table:
    """The cells of a table."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    """What was guessed or left out, for people."""
    values: tuple[str, ...] = ()
    """See `DatasetArrays.values`."""
    first_row: int = 2
    """The number that editors and spreadsheets give the first row below the columns' names."""
    separator: str = ""
    """Empty for an Excel file."""
    sheet: str = ""
    """The sheet of an Excel file that has several."""
    sheet_reason: str = ""
    """Why it was chosen, for people."""
    path: Path = Path()
    encoding: str = ""

    def recognise_numbers(self, columns: Sequence[str], mark: str) -> dict[str, Numbers]:
        """Return those of the columns whose texts are numbers. `mark`: see `DataOptions.decimal`.

        If one has decimal commas, dots between groups of three digits are no decimal points.
        """
        import pandas as pd
        from pandas.api import types

        numbers = recognise_columns(self.frame[list(columns)], self.separator, mark)
        marks = {each.mark for each in numbers.values()} | {mark}
        floats = [each for each in columns if types.is_float_dtype(self.frame[each])]
        if self.separator and "," in marks and "." not in marks and floats:
            texts = pd.read_csv(
                self.path,
                sep=self.separator,
                encoding=self.encoding,
                skiprows=self.first_row - 2,
                dtype=str,
            )
            for column in floats:
                values = texts[column]
                if have_grouped_digits(values):
                    grouped = recognise_numbers(values, ",", self.separator)
                    numbers |= {column: grouped} if grouped else {}
        return numbers


def read_table(path: Path, name: str, options: DataOptions, strict: bool = True) -> Table:
    """Read a table without the columns to ignore; `strict` refuses a column without a name.

    Raises DataError.
    """
    try:
        read = _read_excel if path.suffix.lower() == ".xlsx" else _read_text
        names, table = read(path, name, options)
    except DataError:
        raise
    except Exception as error:  # openpyxl raises anything
        raise _explain(name, error) from None
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
    kept = frame.loc[:, ~frame.columns.isin(ignore)]
    notes, values = list(table.notes), list(table.values)
    if look_like_values(names):
        row = ", ".join(names[:3])
        notes.append(f"{name}: columns are named after row 1 ({row}); if it has data, add names")
    for column in sorted(repeated):
        count = names.count(column)
        notes.append(f"{name}: left out {count} columns called '{column}'")
        values.append(f"without {count} columns '{column}'")
    for column in kept.columns:
        if strict and re.fullmatch(UNNAMED, column):
            number = int(column.removeprefix("Unnamed: ")) + 1
            raise DataError(
                f"{name}: column {number} has no name; name it, or "
                f"leave it out by [data] ignore = {format_toml_list(column)}"
            )
    return replace(table, frame=kept, notes=tuple(notes), values=tuple(values))


def _counts_rows(frame: pd.DataFrame) -> bool:
    import pandas as pd

    return frame.index.equals(pd.RangeIndex(len(frame)))


def _list_notes(table: Table) -> str:
    return "".join(f" ({note.partition(': ')[2]})" for note in table.notes)


def _explain(name: str, error: Exception) -> DataError:
    if isinstance(error, UnicodeDecodeError):
        return DataError(f'{name}: is not UTF-8 text; save it as "CSV UTF-8" or as .xlsx')
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


def _read_text(path: Path, name: str, options: DataOptions) -> tuple[list[str], Table]:
    import pandas as pd

    with path.open("rb") as binary:
        is_utf16 = binary.read(2) in (b"\xff\xfe", b"\xfe\xff")
    encoding = "utf-16" if is_utf16 else "utf-8-sig"
    with path.open(encoding=encoding, newline="") as stream:
        lines = list(itertools.islice(stream, SAMPLE))
    first = sum(1 for _ in itertools.takewhile(_is_skipped, lines))
    declared = re.fullmatch(r'"?sep=(.)"?\s*', "".join(lines[first : first + 1]), re.IGNORECASE)
    skipped = _count_lines_before_names(lines, first + 1 if declared else 0)
    separator = declared[1] if declared else choose_separator(lines[skipped:])
    frame = pd.read_csv(
        path,
        sep=separator,
        encoding=encoding,
        skiprows=skipped,
        low_memory=False,
        keep_default_na=False,
        na_values=["", *options.missing],
    )
    names = next(csv.reader(lines[skipped:], delimiter=separator), [])
    notes = []
    comments = [line for line in lines[:skipped] if line.startswith("#")]
    if comments:
        count = f"{len(comments)} lines" if len(comments) > 1 else "one line"
        notes.append(f"{name}: skipped {count} before the columns' names: {comments[0].strip()}")
    return names, Table(
        frame, tuple(notes), first_row=2 + skipped, separator=separator, path=path,
        encoding=encoding,
    )  # fmt: skip


def _count_lines_before_names(lines: Sequence[str], start: int) -> int:
    """Return the number of lines before the columns' names: blank lines and comments.

    The last comment has the names if it has as many fields as the next line, which has numbers.
    """
    index = start
    while index < len(lines) and _is_skipped(lines[index]):
        index += 1
    if start < index < len(lines) and lines[index - 1].startswith("#"):
        separator = choose_separator(lines[index:])
        names, values = csv.reader(lines[index - 1 : index + 1], delimiter=separator)
        if len(names) == len(values) > 1 and any(_is_number(each) for each in values):
            index -= not any(_is_number(each) for each in names)
    return index


def _is_skipped(line: str) -> bool:
    return not line.strip(f"{SEPARATORS} \r\n") or line.startswith("#")


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def choose_separator(lines: Sequence[str]) -> str:
    """Return the separator that splits the first line, and most lines into as many fields."""

    def rate(separator: str) -> tuple[bool, float, int]:
        try:
            rows = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        except csv.Error:
            return False, 0.0, 0
        first = rows[0] if rows else 0
        return first > 1, rows.count(first) / max(1, len(rows)), first

    return max(SEPARATORS, key=rate)


def _read_excel(path: Path, name: str, options: DataOptions) -> tuple[list[str], Table]:
    import pandas as pd

    cells: dict[str, Any] = {"keep_default_na": False, "na_values": ["", *options.missing]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl's, about colours and the like
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheets = {each.title: each.sheet_state == "visible" for each in book.book.worksheets}
            heads = {
                sheet: [str(each) for row in book.parse(sheet, header=None, nrows=1).values
                        for each in row]
                for sheet in sheets
            }  # fmt: skip
            sheet = _choose_sheet(name, sheets, heads, options)
            frame = book.parse(sheet, **cells)
    if len(sheets) == 1:
        return heads[sheet], Table(frame)
    others = ", ".join(
        f"'{each}'" + ("" if sheets[each] else " (hidden)") for each in sheets if each != sheet
    )
    values = (f"sheet '{sheet}'",) if sheet != next(iter(sheets)) else ()
    reason = f"the first visible one with the column '{options.target}', not {others}"
    notes = [f"{name}: read sheet '{sheet}', {reason}; choose another by [data] sheet = \"...\""]
    notes = [] if options.sheet else notes
    return heads[sheet], Table(frame, tuple(notes), values, sheet=sheet, sheet_reason=reason)


def _choose_sheet(
    name: str, sheets: dict[str, bool], heads: dict[str, list[str]], options: DataOptions
) -> str:
    """Return the chosen sheet, else the first visible one that has the target."""
    if options.sheet:
        if options.sheet not in sheets:
            raise DataError(
                f"[data] sheet: {name} has no sheet '{options.sheet}'"
                f"{did_you_mean(options.sheet, sheets)}"
            )
        return options.sheet
    visible = [sheet for sheet, is_visible in sheets.items() if is_visible] or list(sheets)
    with_target = [sheet for sheet in visible if options.target in heads[sheet]]
    if not with_target and len(sheets) > 1 and options.target:
        hidden = [sheet for sheet in sheets if sheet not in visible]
        listed = ", ".join(
            f"'{sheet}' ({', '.join(heads[sheet][:3]) or 'empty'})" for sheet in visible
        )
        more = f"; hidden: {', '.join(hidden)}" if hidden else ""
        raise DataError(
            f"[data] target: no sheet of {name} has the column '{options.target}': {listed}{more}; "
            'choose one by [data] sheet = "..."'
        )
    return (with_target or visible)[0]


def format_toml_list(*columns: object) -> str:
    return json.dumps(list(map(str, columns)), ensure_ascii=False)
