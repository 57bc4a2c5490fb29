"""How sure a proportion is, and whether two classifiers differ. Standard library only.

Source: E. B. Wilson, 1927; Q. McNemar, 1947 (the exact form); S. Holm, 1979.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for the proportion `correct` of `n`; (0, 1) where n is 0.

    It says what chance in drawing these n examples leaves open; not what choosing the best of many
    trials by them adds.
    """
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, squared = correct / n, z * z
    middle = (p + squared / (2 * n)) / (1 + squared / n)
    half = z / (1 + squared / n) * math.sqrt(p * (1 - p) / n + squared / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value that two classifiers err alike, on the same examples.

    `only_first` counts the examples that the first alone has right. Where both err on the same
    ones nothing is known: 1.
    """
    n, k = only_first + only_second, min(only_first, only_second)
    # In integers: a float overflows from n = 1,030 on.
    tail = sum(math.comb(n, i) for i in range(k + 1))
    return min(1.0, float(2 * tail / 2**n)) if n else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests, adjusted for their number, in their order."""
    adjusted = [0.0] * len(p_values)
    greatest = 0.0
    ranked = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for rank, index in enumerate(ranked):
        greatest = max(greatest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = greatest
    return adjusted
