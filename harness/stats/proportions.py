"""How sure a proportion is, and whether two classifiers differ. Standard library only.

Source: E. B. Wilson, 1927; Q. McNemar, 1947 (the exact form); S. Holm, 1979; E. L. Korn and B. I.
Graubard, Survey Methodology 24, 1998 (the effective number of examples).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

LEVEL = 0.05
"""Of significance: a difference with a smaller p-value shows."""


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for the proportion `correct` of `n`; (0, 1) where n is 0.

    It says what chance in drawing these n examples leaves open; not what choosing the best of many
    trials by them adds.
    """
    if n == 0:
        return 0.0, 1.0
    return _score(correct / n, n, confidence)


def wilson_mean(counts: Sequence[tuple[int, int]], confidence: float = 0.95) -> tuple[float, float]:
    """Interval for the unweighted mean of the proportions `correct` of `n`, of unlike examples.

    Wilson's, for the number of examples that would give the mean its variance if they were all of
    one kind; at most for the number that would if all proportions were the mean, so that it does
    not shrink to nothing where all are right. Of parts that are equally large it is that of all
    together. Those of n = 0 are left out; (0, 1) without any.
    """
    parts = [(correct / n, n) for correct, n in counts if n]
    if not parts:
        return 0.0, 1.0
    mean = sum(p for p, _ in parts) / len(parts)
    variance = sum(p * (1 - p) / n for p, n in parts) / len(parts) ** 2
    most = len(parts) ** 2 / sum(1 / n for _, n in parts)
    effective = min(most, mean * (1 - mean) / variance) if variance else most
    return _score(mean, effective, confidence)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value that two classifiers err alike, on the same examples.

    `only_first` counts the examples that the first alone has right. Where both err on the same
    ones nothing is known: 1.
    """
    n, k = only_first + only_second, min(only_first, only_second)
    # In integers: a float overflows from n = 1,030 on. Each binomial coefficient from the one
    # before: `math.comb` for each takes a hundred times as long.
    tail = term = 1
    for i in range(k):
        term = term * (n - i) // (i + 1)
        tail += term
    return min(1.0, float(2 * tail / 2**n)) if n else 1.0


def greatest_mcnemar(first: int, second: int, n: int) -> float:
    """The largest p-value that `mcnemar` can give two classifiers that have so many of n right.

    With b examples that the first alone has right and c that the second alone has, b - c is known:
    d = first - second. Given d, the p-value grows with b + c. For k = min(b, c) becomes k + 1 where
    b + c = m becomes m + 2, and with B(m) of the binomial distribution of m tosses,
    P(B(m + 2) <= k + 1) = P(B(m) <= k) + (P(B(m) = k + 1) - P(B(m) = k)) / 4, whose last bracket is
    not negative for k < m / 2. So it is largest where the two have as little in common as can be:
    the worse one alone is right wherever the better one errs, as far as its right ones go.
    """
    better, worse = max(first, second), min(first, second)
    only_worse = min(worse, n - better)
    return mcnemar(only_worse + better - worse, only_worse)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests, adjusted for their number, in their order."""
    adjusted = [0.0] * len(p_values)
    greatest = 0.0
    ranked = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for rank, index in enumerate(ranked):
        greatest = max(greatest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = greatest
    return adjusted


def _score(p: float, n: float, confidence: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    squared = z * z
    middle = (p + squared / (2 * n)) / (1 + squared / n)
    half = z / (1 + squared / n) * math.sqrt(p * (1 - p) / n + squared / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
