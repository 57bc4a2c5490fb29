"""Mean ranks, shares of tables won, and their uncertainty over tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range

BOOTSTRAPS = 10_000
Values = Mapping[str, Mapping[str, float]]
"""A score for each table (or each table and split) and method."""


@dataclass(frozen=True)
class Standing:
    """A method's place among the methods."""

    method: str
    mean_rank: float
    low: float
    high: float
    """The 95 % bootstrap interval of the mean rank: the tables are drawn again."""
    won: float
    """The share of tables on which no method was better; a shared first place counts in parts."""


def rank_methods(values: Values, methods: Sequence[str], lowest_first: bool = True) -> np.ndarray:
    """Return ranks [tables, methods], 1 the best; methods with equal scores share the mean rank."""
    scores = np.array([[table[method] for method in methods] for table in values.values()])
    return np.asarray(rankdata(np.round(scores if lowest_first else -scores, 9), axis=1))


def summarize_ranks(ranks: np.ndarray, methods: Sequence[str], seed: int = 0) -> list[Standing]:
    """Return the methods by mean rank."""
    tables = len(ranks)
    rng = np.random.default_rng(seed)
    drawn = ranks[rng.integers(tables, size=(BOOTSTRAPS, tables))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    first = ranks == ranks.min(axis=1, keepdims=True)
    won = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    means = ranks.mean(axis=0)
    standings = [
        Standing(name, float(means[i]), float(low[i]), float(high[i]), float(won[i]))
        for i, name in enumerate(methods)
    ]
    return sorted(standings, key=lambda standing: standing.mean_rank)


def find_critical_difference(methods: int, tables: int, alpha: float = 0.05) -> float:
    """Return Nemenyi's critical difference of two mean ranks (Demšar 2006)."""
    quantile = float(studentized_range.ppf(1 - alpha, methods, np.inf)) / np.sqrt(2)
    return quantile * float(np.sqrt(methods * (methods + 1) / (6 * tables)))


def measure_equality(ranks: np.ndarray) -> float:
    """Return the p-value of Friedman's test that all methods are equally good."""
    return float(friedmanchisquare(*ranks.T).pvalue)


def compare_methods(ranks: np.ndarray, first: int, second: int, seed: int = 0) -> tuple[float, ...]:
    """Return the difference of two mean ranks and its 95 % bootstrap interval over tables."""
    differences = ranks[:, first] - ranks[:, second]
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(ranks), size=(BOOTSTRAPS, len(ranks)))
    low, high = np.quantile(differences[rows].mean(axis=1), [0.025, 0.975])
    return float(differences.mean()), float(low), float(high)
