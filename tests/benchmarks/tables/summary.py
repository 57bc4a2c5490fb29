"""The results as values to rank: which methods are complete, on which splits, by which measure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.tables.ranking import Standing, rank_methods, summarize_ranks
from tests.benchmarks.tables.results import Result

Splits = frozenset[int]


@dataclass(frozen=True)
class Measure:
    """A score by which methods are ranked: one for classes, and one for numbers if any."""

    name: str
    classes: str
    numbers: str = ""
    lowest_first: bool = True

    def read(self, result: Result) -> float | None:
        """Return the score; None where the table has none."""
        return result.scores.get(self.classes, result.scores.get(self.numbers))


PRIMARY = Measure("error or RMSE", "error", "rmse")
LOG_LOSS = Measure("log loss", "log_loss")
AUC = Measure("AUC", "auc", lowest_first=False)


@dataclass(frozen=True)
class Comparison:
    """Methods that have the same tables and splits."""

    methods: tuple[str, ...]
    tables: tuple[str, ...]
    splits: tuple[int, ...]
    results: tuple[Result, ...]

    def average(self, measure: Measure) -> dict[str, dict[str, float]]:
        """Return the mean over splits of each table and method."""
        return {
            table: {method: statistics.fmean(v) for method, v in methods.items()}
            for table, methods in self.collect(measure).items()
        }

    def collect(self, measure: Measure) -> dict[str, dict[str, list[float]]]:
        """Return the scores of all splits, in their order, of each table and method."""
        values: dict[str, dict[str, list[float]]] = {}
        for result in sorted(self.results, key=lambda result: result.split):
            value = measure.read(result)
            if value is not None:
                values.setdefault(result.table, {}).setdefault(result.method, []).append(value)
        return {table: values[table] for table in self.tables if table in values}

    def rank(self, measure: Measure) -> np.ndarray:
        """Return ranks [tables, methods] of the means over splits."""
        return rank_methods(self.average(measure), self.methods, measure.lowest_first)

    def rank_splits(self, measure: Measure) -> np.ndarray:
        """Return ranks [tables * splits, methods]."""
        values = {
            f"{table} {i}": {method: methods[method][i] for method in self.methods}
            for table, methods in self.collect(measure).items()
            for i in range(len(self.splits))
        }
        return rank_methods(values, self.methods, measure.lowest_first)

    def order(self, measure: Measure) -> list[Standing]:
        """Return the methods by mean rank."""
        return summarize_ranks(self.rank(measure), self.methods)

    def select(self, method: str) -> list[Result]:
        """Return the results of a method."""
        return [result for result in self.results if result.method == method]


def compare(results: Iterable[Result], methods: Sequence[str], splits: int) -> list[Comparison]:
    """Return comparisons of more and more methods on fewer and fewer splits of all tables.

    The first has the methods with all splits; the next ones those with the first 4, 3, ... splits,
    where that adds a method. Where a method lacks a table, a last one has the tables that all
    methods have. A method without results is left out.
    """
    results = list(results)
    present = [method for method in methods if any(r.method == method for r in results)]
    done = {(r.method, r.table, r.split) for r in results}
    tables = list(dict.fromkeys(r.table for r in results))

    def find_shared(names: Sequence[str], splits: Iterable[int]) -> list[str]:
        return [t for t in tables if all((m, t, s) in done for m in names for s in splits)]

    comparisons: list[Comparison] = []
    counted = 1
    for count in range(splits, 0, -1):
        names = [m for m in present if find_shared([m], range(count)) == tables]
        if len(names) > counted:
            comparisons.append(_make_comparison(results, names, tables, range(count)))
            counted = len(names)
    shared = find_shared(present, [0])
    if counted < len(present) and shared:
        comparisons.append(_make_comparison(results, present, shared, [0]))
    return comparisons


def _make_comparison(
    results: Sequence[Result], methods: Sequence[str], tables: Sequence[str], splits: Sequence[int]
) -> Comparison:
    kept = tuple(
        r for r in results if r.method in methods and r.table in tables and r.split in splits
    )
    return Comparison(tuple(methods), tuple(tables), tuple(splits), kept)
