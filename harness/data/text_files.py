"""Read the cells of a CSV or TSV file.

A text file may begin with Excel's `sep=;`, with blank lines and with lines of `#` comments. The
separator is the one that splits the first rows evenly; inside quotes it does not count.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from harness.data.table import Table
from harness.data.types import DataOptions

SEPARATORS = ",;\t|"
SAMPLE = 200
"""Lines that the separator is chosen by."""


def read_text(
    path: Path, name: str, options: DataOptions, texts: bool = False
) -> tuple[list[str], Table]:
    """Return the columns' names and the table; with `texts`, numbers stay texts.

    Raises DataError, and what pandas and the decoder raise.
    """
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
        dtype=str if texts else {name: str for name, kind in options.columns if kind == "category"},
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
