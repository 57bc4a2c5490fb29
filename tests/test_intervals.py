"""Intervals and tests against scipy's, which scikit-learn brings along."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from harness.intervals import holm, mcnemar, wilson


@pytest.mark.parametrize(("correct", "n"), [(0, 1), (5, 5), (5465, 6000), (0, 300), (1, 2)])
def test_wilson_is_scipys(correct: int, n: int) -> None:
    theirs = binomtest(correct, n).proportion_ci(method="wilson")
    assert wilson(correct, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_nothing_is_known_of_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert mcnemar(0, 0) == 1.0


@pytest.mark.parametrize(("first", "second"), [(10, 25), (25, 10), (0, 6), (7, 7), (2900, 3100)])
def test_mcnemar_is_scipys_binomial_test(first: int, second: int) -> None:
    theirs = binomtest(first, first + second).pvalue
    assert mcnemar(first, second) == pytest.approx(theirs, rel=1e-9)


def test_holm_on_the_textbooks_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0], "never above 1"
    assert holm([]) == []
