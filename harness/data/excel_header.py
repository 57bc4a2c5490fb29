"""The rows of an Excel sheet that name its columns: below a title, or two rows of merged cells."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLE = 12
"""Rows that the header is in."""


@dataclass(frozen=True)
class Header:
    """The names of a sheet's columns."""

    names: list[str]
    """`nan` where a column has none."""
    row: int = 0
    """The first row of the names, counted from 0."""
    rows: int = 1
    """2 for merged cells above the names."""
    note: str = ""
    """What was recognised, for people."""

    @property
    def is_plain(self) -> bool:
        """Whether the first row alone has the names."""
        return (self.row, self.rows) == (0, 1)


def read_header(sheet: Any, path: Path) -> Header:
    """Return the header of a worksheet, which openpyxl opened as read-only, of the file `path`."""
    rows = [_trim(row) for row in sheet.iter_rows(max_row=SAMPLE, values_only=True)]
    start = 0
    while start + 1 < len(rows) and _count(rows[start]) < 2 and _has_wider_row(rows, start):
        start += 1
    if start >= len(rows):
        return Header([])
    top = rows[start]
    above = _join(rows[:start])
    title = f"its columns are named in row {start + 1}, below '{above}'" if start else ""
    below = rows[start + 1] if start + 1 < len(rows) else []
    if None in top or len(below) > len(top):
        merged = _read_merged(path, sheet.title, start)
        if merged:
            names = _combine(top, below, merged)
            shown = ", ".join(names[:4])
            note = f"its columns are named by two rows with merged cells: {shown}"
            return Header(names, start, 2, note)
    return Header([_name(each) for each in top], start, 1, title)


def _combine(top: list[Any], below: list[Any], merged: Sequence[range]) -> list[str]:
    """Return the names of two rows: `Size Width` for Width below a merged Size."""
    names = []
    for column in range(max(len(top), len(below))):
        first = next((part.start for part in merged if column in part), column)
        upper, lower = (
            row[place] if place < len(row) else None
            for row, place in ((top, first), (below, column))
        )
        words = [str(each).strip() for each in (upper, lower) if each is not None]
        names.append(" ".join(words) or "nan")
    return names


def _read_merged(path: Path, title: str, row: int) -> list[range]:
    """Return the columns of each group of cells of that row that are merged side by side."""
    import openpyxl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranges = openpyxl.load_workbook(path, data_only=True)[title].merged_cells.ranges
    return [
        range(each.min_col - 1, each.max_col)
        for each in ranges
        if each.min_row == each.max_row == row + 1 and each.max_col > each.min_col
    ]


def _has_wider_row(rows: list[list[Any]], start: int) -> bool:
    """Whether the next row with a value has several."""
    return next((_count(row) > 1 for row in rows[start + 1 :] if _count(row)), False)


def _trim(row: Sequence[Any]) -> list[Any]:
    cells = list(row)
    while cells and cells[-1] is None:
        cells.pop()
    return cells


def _count(row: list[Any]) -> int:
    return sum(each is not None for each in row)


def _join(rows: list[list[Any]]) -> str:
    return " ".join(str(each) for row in rows for each in row if each is not None)[:60]


def _name(value: Any) -> str:
    return "nan" if value is None else str(value)
