"""The race for the confirmation runs: who is dropped, when it ends, how often it errs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.stats.racing import (
    Look,
    count_clearly_worse,
    count_most_splits,
    run_race,
)
from tests.benchmarks.race import draw_costs, race


def test_the_better_half_goes_on_and_the_last_runs_are_spent_at_once() -> None:
    asked = []

    def look(settings: tuple[int, ...], splits: int) -> Look:
        asked.append((settings, splits))
        return Look(tuple(sorted(settings)))

    ended = run_race(range(10), 30, 20, look)
    assert [(len(settings), splits) for settings, splits in asked] == [
        (10, 2), (5, 3), (3, 4), (2, 5)
    ]  # fmt: skip
    assert (ended.runs, ended.ending, ended.splits) == (30, "budget", 5)
    asked.clear()
    assert run_race(range(3), 9, 20, look).runs == 9
    assert [len(settings) for settings, _ in asked] == [3, 3]
    assert run_race(range(10), 30, 3, look).ending == "room"
    assert count_most_splits(10, 30) == 7


def test_dropped_settings_give_their_runs_to_the_tied_ones() -> None:
    def look(settings: tuple[int, ...], splits: int) -> Look | None:
        if splits == 7:
            return None
        return Look(settings, worse=settings[2:])

    race = run_race(range(5), 15, 20, look)
    assert (race.settings, race.splits, race.ending) == ((), 4, "budget")
    clear = run_race(range(5), 15, 20, lambda settings, _: Look(settings, worse=settings[1:]))
    assert (clear.runs, clear.ending, clear.looks[-1].tied) == (10, "clear", (0,))
    waiting = run_race(range(5), 15, 20, lambda *_: None)
    assert (waiting.settings, waiting.splits, waiting.looks) == ((0, 1, 2, 3, 4), 2, ())


def test_a_larger_budget_changes_no_earlier_decision() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        costs = draw_costs(rng, rng.normal(0.85, 0.03, 6), 9, 200, 0.01)
        few, many = race(costs, 14), race(costs, 30)
        assert many.looks[0] == few.looks[0]


def test_the_test_is_a_t_test_where_seeds_alone_vary() -> None:
    """Each example has its split's mean, so the splits are the sample."""
    means = np.array([[0.1, 0.2, 0.15, 0.12], [0.3, 0.45, 0.33, 0.36]])
    costs = np.repeat(means[:, :, None], 50_000, axis=2)
    p = stats.ttest_rel(means[1], means[0], alternative="greater").pvalue
    # The seed variance of few splits is estimated above the sample's, so the test is stricter.
    assert count_clearly_worse(costs, 1, False, level=2 * p * 0.9) == 0
    assert count_clearly_worse(costs, 1, False, level=2 * p * 50) == 1


@pytest.mark.parametrize("deviation", [0.005, 0.015])
def test_the_best_is_rarely_dropped(deviation: float) -> None:
    rng, errors, repetitions = np.random.default_rng(3), 0, 150
    for _ in range(repetitions):
        costs = draw_costs(rng, np.full(3, 0.85), 3, 1000, deviation)
        errors += any(0 in look.worse for look in race(costs, 9).looks)
    assert errors <= stats.binom.ppf(0.999, repetitions, 0.05)
