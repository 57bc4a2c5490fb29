"""Recognise numbers, money, percentages, dates and times in a column of texts.

12,5   1.234,50   1 234    decimal comma; thousands with a dot, a space or an apostrophe
$1,234   12 EUR   (50)     money: one currency a column; parentheses are negative
12 %                       percentages: 12
31.12.2024   10:30         dates and times: recognised, and refused by name
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.scoring.date_texts import DATE_OR_TIME
from harness.scoring.number_texts import (
    NUMBER,
    THOUSANDS,
    clean_spaces,
    join_digits,
    parse_number,
)

if TYPE_CHECKING:
    import pandas as pd

Mark = Literal[".", ","]
SHOWN_COLUMNS = 8
"""How many columns an error lists."""


@dataclass(frozen=True)
class Numbers:
    """A column of texts that are numbers."""

    values: npt.NDArray[np.float64]
    """[N], NaN where the column has no value."""
    unit: str
    """`%`, a currency, or nothing."""
    mark: Mark
    """The decimal mark."""
    example: str
    """A text of the column, one with a unit or with a decimal or thousands mark."""

    @property
    def description(self) -> str:
        """`'1.234,50 €' is 1234.5`."""
        value = parse_number(self.example, self.mark)
        return f"'{self.example}' is {value:.10g}"


def recognise_columns(frame: pd.DataFrame, separator: str, mark: str) -> dict[str, Numbers]:
    """Return the columns of texts that are all numbers.

    Raises DataError for a column whose numbers have the other decimal mark.
    """
    from pandas.api import types

    columns = {column: frame[column] for column in frame.columns}
    texts = {
        column: values for column, values in columns.items()
        if not types.is_numeric_dtype(values) and not types.is_datetime64_any_dtype(values)
        and not types.is_bool_dtype(values)
    }  # fmt: skip
    numbers = {
        column: recognise_numbers(values, mark, separator) for column, values in texts.items()
    }
    for column, each in numbers.items():
        other = "," if mark == "." else "."
        if mark and each is None and recognise_numbers(texts[column], other, separator):
            example = _find_example(texts[column])
            raise DataError(
                f"[data] decimal = \"{mark}\": column '{column}' has another decimal mark, as in "
                f"'{example}'; set it to \"{other}\", or leave it out to guess each column's"
            )
    return {column: each for column, each in numbers.items() if each is not None}


def replace_columns(frame: pd.DataFrame, numbers: dict[str, Numbers]) -> pd.DataFrame:
    """Return the table with these columns as numbers."""
    frame = frame.copy()
    for column, each in numbers.items():
        frame[column] = each.values
    return frame


def look_like_values(names: Sequence[str]) -> bool:
    """Whether the names of a table's columns look like a row of data: numbers with a fraction."""
    numbers = [NUMBER.fullmatch(name) for name in names]
    return all(numbers) and any("." in name for name in names)


def have_grouped_digits(values: pd.Series) -> bool:
    """Whether all texts with a dot may have it between thousands: `1.234`."""
    with_dot = [text for text in list_texts(values) if "." in text]
    return bool(with_dot) and all(
        THOUSANDS["."].fullmatch(clean_spaces(text).lstrip("+-")) for text in with_dot
    )


def describe_numbers(known: dict[str, Numbers], decimal: str) -> list[str]:
    """Describe how columns of texts were read as numbers, one line for each kind."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for column, numbers in known.items():
        kinds.setdefault((numbers.unit, numbers.mark), []).append(column)
    lines = []
    for (unit, mark), columns in kinds.items():
        kind = "numbers" if not unit else "percentages" if unit == "%" else f"amounts in {unit}"
        how = f"with decimal {'comma' if mark == ',' else 'point'}"
        line = f"read {join_names(columns)} as {kind} {how}: {known[columns[0]].description}"
        other = "." if mark == "," else ","
        lines.append(line + ("" if decimal else f'; if not, set [data] decimal = "{other}"'))
    return lines


def shorten_description(line: str) -> str:
    """Return a description without its example and advice, for the record."""
    return line.partition(":")[0]


def join_names(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN_COLUMNS} more" if len(items) > SHOWN_COLUMNS else ""
    return ", ".join(items[:SHOWN_COLUMNS]) + more


def are_dates_or_times(values: pd.Series) -> bool:
    """Whether all texts of a column are dates or times."""
    texts = list_texts(values)
    return bool(texts) and all(DATE_OR_TIME.fullmatch(clean_spaces(text)) for text in texts)


def recognise_numbers(values: pd.Series, mark: str, separator: str) -> Numbers | None:
    """Return the numbers that a column's texts are; None if one is something else.

    Args:
        mark: The decimal mark, `.` or `,`; empty to guess it from the texts.
        separator: What separates the file's columns. In a file with another separator, commas that
            may be of either kind are decimal commas, unless the unit is a dollar or the like.
    """
    texts = list_texts(values)
    matches = [NUMBER.fullmatch(join_digits(text)) for text in texts]
    if not texts or not all(matches) or DATE_OR_TIME.fullmatch(clean_spaces(texts[0])):
        return None
    found_units = {each["before"] or each["after"] or "" for each in matches if each}
    if len(found_units) > 1:
        return None
    marks: list[Mark] = [mark] if mark in (".", ",") else guess_marks(texts, separator)  # type: ignore[list-item]
    for each in marks:
        try:
            numbers = {text: parse_number(text, each) for text in texts}
        except ValueError:
            continue
        parsed = np.array([numbers.get(str(text), np.nan) for text in values], np.float64)
        return Numbers(parsed, found_units.pop(), each, _find_example(values))
    return None


def guess_marks(texts: Iterable[str], separator: str) -> list[Mark]:
    """Return the decimal marks to try, the likelier one first."""
    digits = [
        match["digits"].strip() for text in texts if (match := NUMBER.fullmatch(join_digits(text)))
    ]
    for one in digits:
        if "," in one and "." in one:
            return [","] if one.rindex(",") > one.rindex(".") else ["."]
        if one.count(",") > 1 or one.count(".") > 1:
            return ["."] if "," in one else [","]
    with_comma = [one for one in digits if "," in one]
    are_thousands = all(THOUSANDS[","].fullmatch(one) for one in with_comma)
    are_dollars = any(symbol in text for text in texts for symbol in "$£¥₹")
    if with_comma and not (are_thousands and (are_dollars or separator in ("", ","))):
        return [",", "."]
    return [".", ","]


def _is_plain(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _find_example(values: pd.Series) -> str:
    texts = list_texts(values)
    return next((text for text in texts if not _is_plain(text)), texts[0])


def list_texts(values: pd.Series) -> list[str]:
    return [str(each) for each in values.dropna().unique()]
