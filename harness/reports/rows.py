"""A table whose rows stand for trials: a click on one colours them all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    numbers: tuple[int, ...]
    """The trials."""
    cells: tuple[str, ...]
    full: str = ""
    """The first cell in full, where that is shortened."""


@dataclass(frozen=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
