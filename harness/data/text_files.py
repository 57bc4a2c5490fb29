"""Read the cells of a CSV or TSV file.

A text file may begin with Excel's `sep=;`, with blank lines and with lines of `#` comments. The
separator is the one that splits the first rows evenly; inside quotes it does not count. A file that
is not UTF-8 and has no mark of another encoding is read as Windows-1252, with a note.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.table import Table
from harness.data.types import DataOptions

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
"""The first bytes of files by encoding; UTF-32's begin with UTF-16's."""
FALLBACK = "cp1252"
CHUNK = 2**20
SAMPLE = 200
"""Lines that the separator is chosen by."""


def read_text(
    path: Path, name: str, options: DataOptions, texts: bool = False
) -> tuple[list[str], Table]:
    """Return the columns' names and the table; with `texts`, numbers stay texts.

    Raises DataError, and what pandas and the decoder raise.
    """
    import pandas as pd

    encoding = choose_encoding(path, options.encoding)
    with path.open(encoding=encoding, newline="") as stream:
        lines = list(itertools.islice(stream, SAMPLE))
    first = sum(1 for _ in itertools.takewhile(_is_skipped, lines))
    declared = re.fullmatch(r'"?sep=(.)"?\s*', "".join(lines[first : first + 1]), re.IGNORECASE)
    skipped = _count_lines_before_names(lines, first + 1 if declared else 0)
    separator = declared[1] if declared else choose_separator(lines[skipped:])
    kinds = {column: str for column, kind in options.columns if kind == "category"}

    def read(comment: str | None) -> pd.DataFrame:
        return pd.read_csv(
            path,
            sep=separator,
            encoding=encoding,
            skiprows=skipped,
            low_memory=False,
            keep_default_na=False,
            na_values=["", *options.missing],
            dtype=str if texts else kinds,
            comment=comment,
        )

    frame, notes = _read_without_comments(read, name)
    names = next(csv.reader(lines[skipped:], delimiter=separator), [])
    comments = [line for line in lines[:skipped] if line.startswith("#")]
    if comments:
        count = f"{len(comments)} lines" if len(comments) > 1 else "one line"
        notes.append(f"{name}: skipped {count} before the columns' names: {comments[0].strip()}")
    if encoding in (FALLBACK, "latin-1") and not options.encoding:
        notes.append(_describe_fallback(path, name))
    return names, Table(
        frame, tuple(notes), first_row=2 + skipped, separator=separator, path=path,
        encoding=encoding,
    )  # fmt: skip


def choose_encoding(path: Path, chosen: str = "") -> str:
    """Return the encoding of a text file: by its first bytes, UTF-8, else Windows-1252."""
    if chosen:
        return chosen
    with path.open("rb") as stream:
        start = stream.read(4)
        for mark, encoding in MARKS.items():
            if start.startswith(mark):
                return encoding
        if len(start) == 4 and 0 in (start[0], start[1]):  # Latin letters with a zero byte each
            return "utf-16-be" if start[0] == 0 else "utf-16-le"
        decoder = codecs.getincrementaldecoder("utf-8")()
        stream.seek(0)
        try:
            while block := stream.read(CHUNK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            try:
                path.read_bytes().decode(FALLBACK)
            except UnicodeDecodeError:
                return "latin-1"
            return FALLBACK
    return "utf-8-sig"


def _describe_fallback(path: Path, name: str) -> str:
    text = path.read_bytes().decode(FALLBACK, errors="replace")
    word = next((each for each in re.findall(r"\w+", text) if not each.isascii()), "")
    example = f", such as '{word}'" if word else ""
    return (
        f"{name}: is not UTF-8, read as Windows-1252 (Western European){example}; if that is "
        'wrong, set [data] encoding = "..."'
    )


def _read_without_comments(
    read: Callable[[str | None], pd.DataFrame], name: str
) -> tuple[pd.DataFrame, list[str]]:
    """Read the table, without lines of `#` between the rows."""
    frame = read(None)
    if frame.shape[1] < 2 or not len(frame):
        return frame, []
    first = frame.iloc[:, 0]
    begins = first.map(lambda each: isinstance(each, str) and each.startswith("#")).astype(bool)
    are_comments = begins & frame.iloc[:, 1:].isna().all(axis=1)
    count = int(are_comments.sum())
    if not count:
        return frame, []
    if count < int(begins.sum()):  # a # in the middle of a row would cut it off
        return frame[~are_comments].reset_index(drop=True), [_describe_comments(count, name)]
    return read("#"), [_describe_comments(count, name)]


def _describe_comments(count: int, name: str) -> str:
    lines = "one line" if count == 1 else f"{count:,} lines"
    return f"{name}: skipped {lines} of # comments between the rows"


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
