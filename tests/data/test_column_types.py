"""Columns of texts that are numbers, money, percentages, dates or times."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.column_types import are_dates_or_times, recognise_numbers

READ = {
    ("12,5", "7"): (12.5, 7),
    ("1.234,50", "12,5"): (1234.5, 12.5),
    ("1,234.50", "12.5"): (1234.5, 12.5),
    ("1.234.567", "1.000"): (1234567, 1000),
    ("1 234,5", "2"): (1234.5, 2),
    ("1\u202f234,5", "2"): (1234.5, 2),
    ("1'234.5", "2"): (1234.5, 2),
    ("$1,234", "-$5"): (1234, -5),
    ("12,50 €", "1.000,00 €"): (12.5, 1000),
    ("EUR 12", "EUR 7.5"): (12, 7.5),
    ("12 USD", "(7 USD)"): (12, -7),
    ("12 %", "7.5%"): (12, 7.5),
    ("−3,5", "+2"): (-3.5, 2),
    ("1,5e3", "2"): (1500, 2),
    (",5", "-,25"): (0.5, -0.25),
    ("12,34,567", "1,000"): (1234567, 1000),
}  # fmt: skip
NOT_READ = [
    ("€ 5", "$ 5"), ("5 %", "5"), ("1,5", "1.5"), ("3 rooms", "4 rooms"), ("A1", "B2"),
    ("1-2", "3-4"), ("1/2", "3/4"), ("12,5", "many"), ("01.02.2024", "03.02.2024"), ("10:30", "11"),
    ("1,23,45", "2"), ("(5", "6"), ("$", "5"), ("1.2.3", "4"), ("", "5"),
]  # fmt: skip
DATES = [
    "2024-01-31", "2024-01-31 10:30", "2024-01-31T10:30:15.5Z", "31.12.2024", "12/31/24",
    "2024/1/5", "5 Jan 2024", "January 5, 2024", "10:30", "18.00.00", "9:05 pm", "23:59:59.999",
    "31-Dec-2024", "1.1.2024 8:00", "2024-01-31 10:30:00+02:00",
]  # fmt: skip
NO_DATES = ["1.5", "villa", "2024", "1-2", "may", "10:75", "x 10:30", "2024-01-31 villa", "1/2"]


@pytest.mark.parametrize("texts", READ, ids=" ".join)
def test_numbers_are_recognised(texts: tuple[str, ...]) -> None:
    numbers = recognise_numbers(pd.Series(texts), "", ";")
    assert numbers is not None
    assert tuple(numbers.values) == READ[texts]


@pytest.mark.parametrize("texts", NOT_READ, ids=" ".join)
def test_other_texts_are_not_numbers(texts: tuple[str, ...]) -> None:
    assert recognise_numbers(pd.Series(texts), "", ";") is None


@pytest.mark.parametrize(
    ("mark", "separator", "expected"),
    [("", ";", 1.234), ("", ",", 1234), (".", ";", 1234), (",", ",", 1.234)],
)
def test_an_ambiguous_comma_follows_the_key_then_the_separator(
    mark: str, separator: str, expected: float
) -> None:
    numbers = recognise_numbers(pd.Series(["1,234", "5,678"]), mark, separator)
    assert numbers is not None
    assert numbers.values[0] == expected


@given(
    st.lists(st.decimals(-(10**9), 10**9, places=2, allow_nan=False), min_size=1),
    st.sampled_from([("", "."), (",", "."), (".", ","), (" ", ","), ("'", ".")]),
    st.sampled_from(["{}", "{} €", "${}", "{}%", "CHF {}"]),
)
def test_what_was_formatted_is_read(values: list[float], marks: tuple[str, str], unit: str) -> None:
    thousands, decimal = marks
    swap = str.maketrans({",": thousands, ".": decimal})
    texts = [unit.format(f"{value:,.2f}".translate(swap)) for value in values]
    numbers = recognise_numbers(pd.Series(texts), "", ";")
    assert numbers is not None, texts
    np.testing.assert_array_equal(numbers.values, [float(value) for value in values])


@pytest.mark.parametrize("text", DATES)
def test_dates_and_times_are_recognised(text: str) -> None:
    assert are_dates_or_times(pd.Series([text, None, text]))
    assert recognise_numbers(pd.Series([text]), "", ",") is None


@pytest.mark.parametrize("text", NO_DATES)
def test_other_texts_are_no_dates(text: str) -> None:
    assert not are_dates_or_times(pd.Series([text]))
