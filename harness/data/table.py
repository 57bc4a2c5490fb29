"""The cells of a table, with what was guessed when its file was read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.column_types import (
    Numbers,
    have_grouped_digits,
    recognise_columns,
    recognise_numbers,
)
from harness.data.types import DataOptions

if TYPE_CHECKING:
    import pandas as pd


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
    """Empty if the file has none."""
    sheet: str = ""
    """The sheet of an Excel file that has several."""
    sheet_reason: str = ""
    """Why it was chosen, for people."""
    path: Path = Path()
    encoding: str = ""
    ignored: pd.DataFrame | None = None
    """The columns that are left out because [data] ignore names them."""
    numbers: dict[str, Numbers] = field(default_factory=dict)
    """The columns of texts that were read as numbers."""

    def read_numbers(self, target: str, options: DataOptions) -> Numbers | None:
        """Return the numbers that the texts of a classification's target are, if all are."""
        if options.task != "classes":
            return None
        return self.recognise_numbers([target], options.decimal).get(target)

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


def format_toml_list(*columns: object) -> str:
    return json.dumps(list(map(str, columns)), ensure_ascii=False)


def format_toml_key(column: object) -> str:
    """Return a column's name as a key of TOML, in quotes where it needs them."""
    text = str(column)
    plain = re.fullmatch(r"[A-Za-z0-9_-]+", text)
    return text if plain else json.dumps(text, ensure_ascii=False)
