"""The tables of `samplers.py` in Markdown: samplers, pruners, trials in flight."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]
"""One search: its `case`, the best score after each trial, the epochs of each trial."""
Key = tuple[Any, ...]
BASE = "random"
RESAMPLES = 10_000
NONE = "–"


def format_tables(rows: Iterable[Row]) -> str:
    """Return every table that has searches."""
    studies: dict[Key, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda each: int(each["case"]["seed"])):
        case = row["case"]
        studies[case["data"], case["modelled"], case["trials"]].append(row)
    parts = []
    for (data, modelled, trials), group in sorted(studies.items()):
        title = f"### {data}, {'modelled' if modelled else 'trained'} curves, {trials} trials"
        parts += [title, format_samplers(group, trials)]
    return "\n\n".join(parts)


def format_samplers(rows: Sequence[Row], trials: int) -> str:
    """Return a table with a row for each sampler, pruner and number of trials in flight."""
    groups: dict[Key, dict[int, Row]] = defaultdict(dict)
    for row in rows:
        case = row["case"]
        groups[case["sampler"], case["pruner"], case["in_flight"]][case["seed"]] = row
    budget = find_budget(rows)
    header = [
        "sampler", "pruner", "in flight", "n", f"best after {trials // 2}", f"after {trials}",
        f"after {trials}, minus random, points (95 %)", f"trials to random's best of {trials}",
        f"best in {budget} epochs", "epochs", "sampling, CPU s",
    ]  # fmt: skip
    lines = [header, ["---"] * len(header)]
    for key, searches in sorted(groups.items(), key=lambda each: -_median_best(each[1])):
        base = groups.get((BASE, *key[1:])) or groups.get((BASE, key[1], 1), {})
        lines.append([*map(str, key), *_describe(searches, base, trials, budget)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _describe(
    searches: dict[int, Row], base: dict[int, Row], trials: int, budget: int
) -> list[str]:
    group = list(searches.values())
    cells = [str(len(group))]
    cells += [
        _format_spread([row["best"][last - 1] for row in group]) for last in (trials // 2, trials)
    ]
    pairs = [
        (searches[seed]["best"][-1], base[seed]["best"][-1]) for seed in searches if seed in base
    ]
    cells.append(_format_difference(pairs))
    if base:
        target = statistics.median(row["best"][-1] for row in base.values())
        counts = [count_trials(row["best"], target) for row in group]
        cells.append(_format_counts(counts, trials))
    else:
        cells.append(NONE)
    within = [find_best_within(row, budget) for row in group]
    cells.append(_format_spread(within))
    cells.append(f"{statistics.median(sum(row['epochs']) for row in group):.0f}")
    cells.append(f"{statistics.median(row['sampling'] for row in group):.1f}")
    return cells


def format_models(rows: Iterable[Row]) -> str:
    """Return how well the last model of each dataset predicts settings outside its data."""
    models = {row["data"]: row for row in rows}
    parts = []
    for data, model in models.items():
        figures = [f"{name} {value:.4g}" for name, value in model.items() if name != "data"]
        parts.append(f"- Model of {data}: {', '.join(figures)}.")
    return "\n".join(parts)


def count_trials(best: Sequence[float], target: float) -> int:
    """Return after how many trials the target is reached; one more than all if it is not."""
    return next((count for count, value in enumerate(best, 1) if value >= target), len(best) + 1)


def find_best_within(row: Row, budget: int) -> float:
    """Return the best score of the trials that end within a number of epochs."""
    used = np.cumsum(row["epochs"]) <= budget
    return float(row["best"][used.sum() - 1]) if used.any() else 0.0


def find_budget(rows: Sequence[Row]) -> int:
    """Return the epochs of half of the shortest search."""
    return min(sum(row["epochs"]) for row in rows) // 2


def bootstrap_mean(values: Sequence[float]) -> tuple[float, float, float]:
    """Return a mean and its 95 % interval, by the percentile bootstrap over seeds."""
    rng, array = np.random.default_rng(0), np.array(values)
    means = rng.choice(array, (RESAMPLES, len(array))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(array.mean()), float(low), float(high)


def _median_best(searches: dict[int, Row]) -> float:
    return statistics.median(row["best"][-1] for row in searches.values())


def _format_difference(pairs: Sequence[tuple[float, float]]) -> str:
    differences = [100 * (value - other) for value, other in pairs]
    if not any(differences):
        return NONE
    mean, low, high = bootstrap_mean(differences)
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"


def _format_counts(counts: Sequence[int], trials: int) -> str:
    def name(count: float) -> str:
        return f"> {trials}" if count > trials else f"{count:.0f}"

    quartiles = np.quantile(counts, [0.25, 0.75], method="nearest")
    return f"{name(statistics.median(counts))} ({' to '.join(map(name, quartiles))})"


def _format_spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.4f} ({min(values):.4f} to {max(values):.4f})"
