"""The Pareto front: against its definition, and against Optuna's `best_trials`."""

from __future__ import annotations

import itertools
import time

import numpy as np
import optuna
import pytest
from optuna.trial import create_trial

from harness.analysis.front import find_front


def find_by_definition(costs: list[list[float]]) -> set[int]:
    """A point is on the front unless one is nowhere worse than it and somewhere better."""
    return {
        place
        for place, mine in enumerate(costs)
        if not any(
            all(a <= b for a, b in zip(other, mine, strict=True))
            and any(a < b for a, b in zip(other, mine, strict=True))
            for other in costs
        )
    }


@pytest.mark.parametrize(("objectives", "levels"), list(itertools.product((2, 3), (3, 10, 1000))))
def test_the_front_is_that_of_the_definition_and_of_optuna(objectives: int, levels: int) -> None:
    """With few levels, many trials are equal in one objective or in all."""
    rng = np.random.default_rng(objectives * levels)
    for _ in range(20):
        costs = rng.integers(levels, size=(40, objectives)).astype(float).tolist()
        front = find_front(costs)
        assert set(front) == find_by_definition(costs)
        assert len(set(front)) == len(front)
        firsts = [costs[place][0] for place in front]
        assert firsts == sorted(firsts)
        study = optuna.create_study(directions=["minimize"] * objectives)
        study.add_trials([create_trial(values=values) for values in costs])
        assert {trial.number for trial in study.best_trials} == set(front)


def test_many_trials_take_little_time() -> None:
    costs = np.random.default_rng(0).random((5_000, 2)).tolist()
    start = time.perf_counter()
    assert find_front(costs)
    assert time.perf_counter() - start < 5
