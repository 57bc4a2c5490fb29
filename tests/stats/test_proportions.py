"""Intervals and tests of proportions, compared with scipy's, a dependency of scikit-learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact

from harness.stats.proportions import (
    adjust_p_values,
    compute_fisher_p_value,
    compute_interval,
    compute_max_mcnemar_p_value,
    compute_mcnemar_p_value,
    compute_mean_interval,
    compute_simultaneous_interval,
    find_lowest_proportion,
)


@pytest.mark.parametrize(("correct", "n"), [(0, 1), (5, 5), (5465, 6000), (0, 300), (1, 2)])
def test_the_interval_is_scipys_wilson_interval(correct: int, n: int) -> None:
    expected = binomtest(correct, n).proportion_ci(method="wilson")
    assert compute_interval(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_without_examples_nothing_is_known() -> None:
    assert compute_interval(0, 0) == (0.0, 1.0)
    assert compute_mcnemar_p_value(0, 0) == 1.0


@pytest.mark.parametrize(("first", "second"), [(10, 25), (25, 10), (0, 6), (7, 7), (2900, 3100)])
def test_mcnemar_is_scipys_binomial_test(first: int, second: int) -> None:
    expected = binomtest(first, first + second).pvalue
    assert compute_mcnemar_p_value(first, second) == pytest.approx(expected, rel=1e-9)


def test_adjusted_p_values_of_holms_example() -> None:
    assert adjust_p_values([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust_p_values([0.6, 0.7]) == [1.0, 1.0], "never above 1"
    assert adjust_p_values([]) == []


def test_the_largest_p_value_is_that_of_the_smallest_overlap() -> None:
    n = 7
    for first, second in itertools.product(range(n + 1), repeat=2):
        # For every possible number of examples that both classifiers have right.
        possible = [
            compute_mcnemar_p_value(first - both, second - both)
            for both in range(min(first, second) + 1)
            if first + second - both <= n
        ]
        assert compute_max_mcnemar_p_value(first, second, n) == pytest.approx(max(possible)), (
            first,
            second,
        )
    assert compute_max_mcnemar_p_value(5400, 5400, 6000) == 1
    assert compute_max_mcnemar_p_value(5400, 5000, 6000) < 1e-12, (
        "known without reading the predictions"
    )


@pytest.mark.parametrize(
    ("true", "sizes"),
    [
        ([0.7, 0.85, 0.9, 0.99, 0.999], [36] * 5),
        ([0.99] * 10, [36] * 10),
        ([0.6, 0.95, 0.95], [20, 500, 900]),
        ([0.95, 0.95, 0.6], [20, 500, 900]),
    ],
    ids=["different", "high", "the small one is low", "the large one is low"],
)
def test_the_interval_of_a_mean_has_its_nominal_coverage(
    true: list[float], sizes: list[int]
) -> None:
    counts = np.random.default_rng(0).binomial(sizes, true, (4000, len(true)))
    intervals = [
        compute_mean_interval(list(zip(row, sizes, strict=True))) for row in counts.tolist()
    ]
    coverage = np.mean([low <= np.mean(true) <= high for low, high in intervals])
    assert 0.93 < coverage < 0.995


def test_the_interval_of_a_mean_in_special_cases() -> None:
    assert compute_mean_interval([(9, 10)]) == pytest.approx(compute_interval(9, 10)), (
        "of one proportion, its own interval"
    )
    assert compute_mean_interval([(36, 36)] * 10) == pytest.approx(compute_interval(360, 360)), (
        "not of width 0"
    )
    both = compute_mean_interval([(70, 100), (90, 100)])
    assert both == pytest.approx(compute_interval(160, 200)), (
        "groups of one size: that of all examples together"
    )
    hard, easy = (
        compute_mean_interval([(10, 20), (499, 500)]),
        compute_mean_interval([(20, 20), (250, 500)]),
    )
    assert hard[1] - hard[0] > easy[1] - easy[0], "the small group is the uncertain one"
    assert compute_mean_interval([(9, 10), (0, 0)]) == compute_mean_interval([(9, 10)]), (
        "a class without an example"
    )
    assert compute_mean_interval([]) == compute_mean_interval([(0, 0)]) == (0.0, 1.0)


@pytest.mark.parametrize(("correct", "n"), [(0, 7), (7, 7), (33, 36), (5000, 10_000), (9, 40)])
def test_the_simultaneous_interval_is_scipys_exact_one(correct: int, n: int) -> None:
    expected = binomtest(correct, n).proportion_ci(0.95**0.1, "exact")
    assert compute_simultaneous_interval(correct, n, 10) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )
    assert compute_simultaneous_interval(0, 0, 10) == (0.0, 1.0)


@pytest.mark.parametrize(("correct", "n"), [(33, 36), (36, 36), (700, 1000)])
def test_fishers_p_value_is_scipys(correct: int, n: int) -> None:
    others = (850, 900)
    table = [[correct, n - correct], [others[0], others[1] - others[0]]]
    p_value = compute_fisher_p_value(correct, n, correct + others[0], n + others[1])
    assert p_value == pytest.approx(fisher_exact(table, "less").pvalue, rel=1e-7)
    assert compute_fisher_p_value(5, 9, 5, 9) == 1, "nothing to compare with"


@pytest.mark.parametrize("n", [36, 1000])
@pytest.mark.parametrize("true", [0.8, 0.95])
def test_the_lowest_of_ten_equal_proportions_is_covered_and_seldom_clear(
    n: int, true: float
) -> None:
    rows = np.random.default_rng(1).binomial(n, true, (600, 10)).tolist()
    lowest = [find_lowest_proportion([(correct, n) for correct in row]) for row in rows]
    covered = [each is not None and each.interval[0] <= true <= each.interval[1] for each in lowest]
    assert np.mean(covered) >= 0.95
    uncorrected = [compute_interval(min(row), n) for row in rows]
    assert np.mean([low <= true <= high for low, high in uncorrected]) < 0.85
    assert np.mean([each is not None and each.is_clear for each in lowest]) <= 0.06


def test_a_proportion_far_below_the_others_is_clearly_the_lowest() -> None:
    lowest = find_lowest_proportion([(0, 0), (950, 1000), (710, 1000), (900, 1000)])
    assert lowest is not None
    assert (lowest.index, lowest.is_clear) == (2, True)
    assert find_lowest_proportion([(0, 0)]) is None
