"""Greedy selection against a brute-force search, and the halves of a validation set."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest
from sklearn import metrics

from harness.metrics import OBJECTIVES
from harness.results import Objective
from harness.stats.ensembles import (
    CLASS_ERRORS,
    VALUE_ERRORS,
    Values,
    compute_log_loss,
    compute_mean_squared_error,
    draw_halves,
    select_greedily,
)


def make_probabilities(models: int = 6, n: int = 60, classes: int = 3) -> tuple[Values, Values]:
    rng = np.random.default_rng(1)
    true = rng.integers(classes, size=n)
    logits = rng.normal(size=(models, n, classes)) + 1.2 * np.eye(classes)[true]
    powers = np.exp(logits)
    return (powers / powers.sum(2, keepdims=True)).astype(np.float32), true


def select_by_trying(
    predictions: Values, true: Values, size: int, objective: Objective
) -> list[int]:
    """Caruana's steps written out: every model is tried in every step, ties by the second key."""
    is_classes = predictions.ndim == 3

    def measure(places: list[int]) -> tuple[float, float]:
        mean = np.mean([predictions[place].astype(float) for place in places], axis=0)
        if not is_classes:
            errors = mean - true
            first = np.abs(errors).mean() if objective == "val/mae" else np.square(errors).mean()
            return round(float(first), 12), round(float(np.square(errors).mean()), 12)
        loss = round(float(-np.log(mean[np.arange(len(true)), true]).mean()), 12)
        wrong = float((mean.argmax(1) != true).mean())
        return (loss, loss) if objective == "val/loss" else (wrong, loss)

    chosen: list[int] = []
    steps: list[tuple[tuple[float, float], list[int]]] = []
    for _ in range(size):
        tried = [[*chosen, place] for place in range(len(predictions))]
        chosen = min(tried, key=measure)
        steps.append((measure(chosen), chosen))
    return min(steps, key=lambda step: (step[0], len(step[1])))[1]


@pytest.mark.parametrize("size", [1, 2, 5, 16])
@pytest.mark.parametrize("objective", ["val/accuracy", "val/loss"])
def test_the_members_are_those_of_caruanas_steps(objective: Objective, size: int) -> None:
    predictions, true = make_probabilities()
    chosen = select_greedily(predictions, true, size, objective)
    assert list(chosen) == select_by_trying(predictions, true, size, objective)
    assert len(chosen) <= size
    best = min(compute_log_loss(each, true) for each in predictions)
    if objective == "val/loss" and size > 1:
        assert compute_log_loss(predictions[list(chosen)].mean(0), true) < best


@pytest.mark.parametrize("objective", ["val/rmse", "val/mae", "val/loss"])
def test_the_members_of_a_regression(objective: Objective) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=80)
    predictions = (true + rng.normal(size=(5, 80)) * [[0.5], [0.6], [0.7], [2.0], [3.0]]).astype(
        np.float32
    )
    chosen = select_greedily(predictions, true, 8, objective)
    assert list(chosen) == select_by_trying(predictions, true, 8, objective)
    mean = predictions[list(chosen)].mean(0)
    assert compute_mean_squared_error(mean, true) < compute_mean_squared_error(predictions[0], true)


def test_a_hand_example() -> None:
    """Two models err on different examples; the third is the best alone, and no help to them."""
    true = np.array([0, 0, 1, 1])
    first = [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.6, 0.4]]
    second = [[0.45, 0.55], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]
    third = [[0.55, 0.45], [0.55, 0.45], [0.45, 0.55], [0.55, 0.45]]
    predictions = np.array([third, second, first])
    for size in (2, 16):
        assert set(select_greedily(predictions, true, size, "val/accuracy")) == {1, 2}
    pairs = itertools.combinations_with_replacement(range(3), 2)
    best = min(pairs, key=lambda pair: compute_log_loss(predictions[list(pair)].mean(0), true))
    assert sorted(select_greedily(predictions, true, 2, "val/loss")) == list(best)


def test_more_members_than_help_are_not_added() -> None:
    true = np.array([0, 1, 0, 1])
    right = np.eye(2)[true]
    assert select_greedily(np.stack([1 - right, right]), true, 16, "val/loss") == (1,)


def test_of_equal_models_the_first_is_chosen() -> None:
    predictions, true = make_probabilities(1)
    assert select_greedily(np.repeat(predictions, 3, 0), true, 4, "val/accuracy") == (0,)


def test_every_objective_has_a_function() -> None:
    assert set(OBJECTIVES["classes"]) == set(CLASS_ERRORS)
    assert set(OBJECTIVES["regression"]) == {*VALUE_ERRORS, "val/quantile_loss"}
    known = set(CLASS_ERRORS) | set(VALUE_ERRORS) | {"val/quantile_loss"}  # refused with [ensemble]
    assert known == set(get_args(Objective))


def test_the_errors_are_one_minus_scikit_learns_scores() -> None:
    rng = np.random.default_rng(0)
    for classes in (2, 4):
        probabilities = rng.dirichlet(np.ones(classes), 200).round(2) + 1e-4
        probabilities /= probabilities.sum(1, keepdims=True)
        true = rng.integers(classes, size=200)
        predicted = probabilities.argmax(1)
        areas = metrics.roc_auc_score(
            true, probabilities[:, 1] if classes == 2 else probabilities, multi_class="ovr"
        )
        one_hot = np.eye(classes)[true]
        expected = {
            "val/auc": 1 - areas,
            "val/f1": 1 - metrics.f1_score(true, predicted, average="macro"),
            "val/balanced_accuracy": 1 - metrics.balanced_accuracy_score(true, predicted),
            "val/brier": np.square(probabilities - one_hot).sum(1).mean(),
            "val/log_loss": metrics.log_loss(true, probabilities),
            "val/accuracy": 1 - metrics.accuracy_score(true, predicted),
        }
        for name, value in expected.items():
            assert CLASS_ERRORS[name](probabilities, true) == pytest.approx(value), name


@pytest.mark.parametrize("n", [4, 5, 101, 400])
def test_the_halves_are_stratified_and_fixed(n: int) -> None:
    rng = np.random.default_rng(n)
    classes = rng.choice(3, size=n, p=[0.7, 0.2, 0.1])
    first, second = draw_halves(classes, 0)
    assert sorted([*first, *second]) == list(range(n))
    assert len(first) - len(second) == n % 2
    for label in range(3):
        counts = [int((classes[half] == label).sum()) for half in (first, second)]
        assert abs(counts[0] - counts[1]) <= 2
    assert all(map(np.array_equal, draw_halves(classes, 0), (first, second)))
    values = np.sort(rng.lognormal(size=n))
    first, second = draw_halves(values, 0)
    for one, other in zip(values[first], values[second], strict=False):
        assert abs(np.searchsorted(values, one) - np.searchsorted(values, other)) <= 2
    if n > 100:
        assert not np.array_equal(draw_halves(classes, 1)[0], draw_halves(classes, 0)[0])
