"""Is a race better than the same number of runs for each setting? Made scores of known truth.

    python -m tests.benchmarks.race [repetitions]

The best settings of a search have accuracies that are normal around 85 %. On each split a setting
has a seed's deviation, and predicts each validation example right or wrong; settings agree on
easy and hard examples. The race itself is the one that `[confirm] race = true` runs. Printed is
what the chosen setting lacks to the best one in points, with the standard error of the difference
to an equal allocation, the number of runs, and how often the truly best setting was dropped as
clearly worse.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from harness.stats.racing import Look, Race, count_clearly_worse, count_most_splits, run_race

Values = npt.NDArray[Any]
DESIGNS = ((3, 3), (5, 3), (10, 3), (20, 3))
"""(settings, seeds): the budget is their product."""
EXAMPLES = (100, 300, 1000, 3000)
SPREADS = (0.0, 0.005, 0.01, 0.02, 0.04)
"""Standard deviation of the settings' true accuracies."""
DEVIATIONS = (0.005, 0.015)
"""Standard deviation of a seed and split."""
AGREEMENT = 0.8
"""The share of the variance that all settings have in common on an example."""


def draw_costs(
    rng: np.random.Generator, accuracies: Values, splits: int, n: int, deviation: float
) -> Values:
    """Return 1 for a wrong prediction, [settings, splits, n]."""
    count = len(accuracies)
    difficulty = rng.standard_normal((1, splits, n), np.float32)
    noise = rng.standard_normal((count, splits, n), np.float32)
    shares = accuracies[:, None] + deviation * rng.normal(size=(count, splits))
    limits = ndtri(np.clip(shares, 0.001, 0.999))[:, :, None]
    costs: Values = np.sqrt(AGREEMENT) * difficulty + np.sqrt(1 - AGREEMENT) * noise > limits
    return costs.astype(float)


def race(costs: Values, budget: int) -> Race:
    """Run a race on made costs."""

    def look(settings: tuple[int, ...], splits: int) -> Look:
        means = costs[list(settings), :splits].mean((1, 2))
        ranked = tuple(settings[index] for index in np.argsort(means, kind="stable"))
        worse = count_clearly_worse(costs[list(ranked), :splits], splits - 1, is_proportion=True)
        return Look(ranked, worse=ranked[len(ranked) - worse :])

    return run_race(range(len(costs)), budget, costs.shape[1], look)


def compare(settings: int, seeds: int, n: int, spread: float, deviation: float, reps: int) -> str:
    """Return one line of the table."""
    rng, budget = np.random.default_rng(1), settings * seeds
    losses, runs, errors, clear = [], [], 0, 0
    for _ in range(reps):
        accuracies = 0.85 + spread * rng.normal(size=settings)
        best = int(accuracies.argmax())
        costs = draw_costs(rng, accuracies, count_most_splits(settings, budget), n, deviation)
        equal = int(costs[:, :seeds].mean((1, 2)).argmin())
        raced = race(costs, budget)
        chosen = raced.looks[-1].ranked[0]
        losses.append(100 * (accuracies.max() - accuracies[[equal, chosen]]))
        runs.append(raced.runs)
        errors += any(best in look.worse for look in raced.looks)
        clear += raced.ending == "clear"
    mean, difference = (
        np.mean(losses, 0),
        np.ptp(losses, 1) * np.sign(np.diff(losses, axis=1)[:, 0]),
    )
    error = difference.std() / np.sqrt(reps)
    return (
        f"{settings:3} {budget:4} {n:5} {100 * spread:5.1f} {100 * deviation:5.1f} "
        f"{mean[0]:8.3f} {mean[1]:8.3f} {difference.mean():+8.3f} ± {error:.3f} "
        f"{np.mean(runs):6.1f} {100 * errors / reps:6.1f} % {100 * clear / reps:6.0f} %"
    )


def main(reps: int = 2000) -> None:
    print("top budget   n spread  seed    equal     race  difference        runs  dropped    clear")
    for settings, seeds in DESIGNS:
        for n in EXAMPLES:
            for spread in SPREADS:
                for deviation in DEVIATIONS:
                    print(compare(settings, seeds, n, spread, deviation, reps), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
