"""The best of n of N values, drawn at random: its mean and its quantiles."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

QUANTILES = (0.05, 0.95)
"""Quantiles of the best of n that are computed along with its mean."""


def compute_best_of_n_means(values: Sequence[float], higher_is_better: bool) -> list[float]:
    """Return the expected best of n of the N values, drawn without replacement, for n = 1 to N.

    E[max of n] = sum over i of C(i - 1, n - 1) / C(N, n) * v(i), v ascending (Tang and others,
    2020). It is summed by parts: with F(i) = C(i, n) / C(N, n), the share of the choices from the i
    smallest values, it is v(N) minus the sum of F(i) (v(i + 1) - v(i)). All terms have the same
    sign, and F for n is F for n - 1 times (i - n + 1) / (N - n + 1), at most 1. So nothing
    overflows and nothing cancels.
    """
    return list(_iterate_means(values, higher_is_better))


def compute_best_of_n_mean(values: Sequence[float], n: int, higher_is_better: bool) -> float:
    """Return the expected best of n of the N values, 1 <= n <= N; see compute_best_of_n_means."""
    return next(itertools.islice(_iterate_means(values, higher_is_better), n - 1, None))


def compute_best_of_n_quantiles(
    values: Sequence[float], higher_is_better: bool
) -> tuple[list[float], list[float]]:
    """Return the 5 % and the 95 % quantiles of the best of n, for n = 1 to N."""
    ascending = _sort_ascending(values, higher_is_better)
    last = len(ascending) - 1
    rows = [
        np.searchsorted(share, QUANTILES).clip(max=last)
        for share in _iterate_shares(len(ascending))
    ]
    low, high = ([float(ascending[row[end]]) for row in rows] for end in (0, 1))
    return (low, high) if higher_is_better else ([-v for v in high], [-v for v in low])


def _iterate_means(values: Sequence[float], higher_is_better: bool) -> Iterator[float]:
    ascending = _sort_ascending(values, higher_is_better)
    gaps, sign = np.diff(ascending), 1 if higher_is_better else -1
    for share in _iterate_shares(len(ascending)):
        yield sign * float(ascending[-1] - share[:-1] @ gaps)


def _sort_ascending(values: Sequence[float], higher_is_better: bool) -> npt.NDArray[np.float64]:
    """Sort from the worst to the best; if lower is better, the values are negated first."""
    array = np.array(values, np.float64)
    return np.sort(array if higher_is_better else -array)


def _iterate_shares(count: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yield for n = 1 to `count` an array [count].

    Its entry i - 1 is the share of all choices of n that take only from the i smallest values.
    """
    smallest, share = np.arange(1, count + 1), np.ones(count)
    for n in range(1, count + 1):
        share = share * (np.maximum(smallest - n + 1, 0) / (count - n + 1))
        yield share
