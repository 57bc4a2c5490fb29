"""Calibration against scikit-learn, hand-made bins and data whose truth is known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from harness.stats.calibration import (
    LOWEST,
    CalibrationScores,
    compute_bins,
    compute_ece,
    compute_softmax,
    compute_squared_errors,
    fit_temperature,
    measure_calibration,
    scale_across_folds,
)
from harness.stats.conformal import build_sets, compute_set_threshold

Values = np.ndarray[Any, Any]


def draw(n: int, seed: int = 0, factor: float = 1.0, classes: int = 4) -> tuple[Values, Values]:
    """Draw logits [n, C] and classes by their softmax; then multiply the logits by `factor`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, classes))
    cumulated = compute_softmax(logits).cumsum(1)
    return logits * factor, (cumulated > rng.random((n, 1))).argmax(1)


def test_the_ece_of_a_few_predictions_by_hand() -> None:
    # 15 bins of width 1/15: 0.95 and 0.99 share the last one, 0.6 ends the ninth, 0.61 is above it.
    confidence = np.array([0.95, 0.99, 0.6, 0.61])
    right = np.array([True, False, True, False])
    by_hand = (2 * abs(0.97 - 0.5) + abs(0.6 - 1) + abs(0.61 - 0)) / 4
    assert compute_ece(confidence, right) == pytest.approx(by_hand)
    bins = compute_bins(confidence, right)
    assert [(each.examples, each.accuracy) for each in bins if each.examples] == [
        (1, 1.0), (1, 0.0), (2, 0.5)
    ]  # fmt: skip
    assert [place for place, each in enumerate(bins) if each.examples] == [8, 9, 14]


def test_bins_are_those_of_scikit_learn() -> None:
    logits, true = draw(3000, factor=1.7)
    probabilities = compute_softmax(logits)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == true
    accuracy, mean = calibration_curve(right, confidence, n_bins=15)
    bins = [each for each in compute_bins(confidence, right) if each.examples]
    assert [each.accuracy for each in bins] == pytest.approx(accuracy)
    assert [each.probability for each in bins] == pytest.approx(mean)
    counts = np.array([each.examples for each in bins])
    expected = (counts * abs(accuracy - mean)).sum() / counts.sum()
    assert compute_ece(confidence, right) == pytest.approx(expected)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_brier_score_is_that_of_scikit_learn(classes: int) -> None:
    logits, true = draw(200, classes=classes)
    probabilities = compute_softmax(logits)
    one_hot = np.eye(classes)[true]
    expected = ((probabilities - one_hot) ** 2).sum(1).mean()
    if classes == 2:
        expected = brier_score_loss(true, probabilities[:, 1])
    assert compute_squared_errors(probabilities, true).mean() == pytest.approx(expected)


def test_the_temperature_has_the_lowest_log_loss() -> None:
    logits, true = draw(5000, factor=2.5)
    outputs, classes = torch.from_numpy(logits), torch.from_numpy(true)
    grid = np.linspace(2, 3, 1001)
    losses = [torch.nn.functional.cross_entropy(outputs / each, classes).item() for each in grid]
    temperature = fit_temperature(logits, true)
    assert temperature == pytest.approx(grid[np.argmin(losses)], abs=0.002)
    assert temperature == pytest.approx(2.5, rel=0.1)


def test_without_mistakes_the_model_is_not_made_certain() -> None:
    true = np.arange(60) % 3
    temperature = fit_temperature(4.0 * np.eye(3)[true], true)
    assert 10 * LOWEST < temperature < 1
    assert compute_softmax(4.0 * np.eye(3)[true] / temperature).max() < 1 - 1e-6


def test_the_temperature_of_an_example_does_not_depend_on_its_class() -> None:
    logits, true = draw(40, factor=3)
    scaled = scale_across_folds(logits, true)
    assert scaled.sum(1) == pytest.approx(1)
    for row in (0, 7, 39):
        other = true.copy()
        other[row] = (true[row] + 1) % 4
        assert scale_across_folds(logits, other)[row] == pytest.approx(scaled[row], abs=0)
    assert scale_across_folds(logits[:1], true[:1]) == pytest.approx(compute_softmax(logits[:1]))


def test_intervals_cover_the_ece() -> None:
    """The truth is the ECE of 400,000 other examples; a calibrated model has 0."""
    studies = 40
    for factor, least in ((1.0, 0.88), (2.5, 0.8)):
        logits, true = draw(400_000, seed=10_000, factor=factor)
        probabilities = compute_softmax(logits)
        truth = compute_ece(probabilities.max(1), probabilities.argmax(1) == true)
        truth = 0.0 if factor == 1 else truth
        covered = 0
        for seed in range(studies):
            logits, true = draw(400, seed, factor)
            scores = measure_calibration(compute_softmax(logits), true)
            low, high = scores.ece_interval
            covered += low <= truth <= high
            assert low <= scores.ece <= high
        assert covered >= least * studies


def test_scores_are_read_as_they_were_stored() -> None:
    logits, true = draw(50)
    scores = measure_calibration(compute_softmax(logits), true)
    assert CalibrationScores.from_dict(json.loads(json.dumps(scores.to_dict()))) == scores


def test_sets_cover_as_often_as_they_should() -> None:
    coverages, sizes = [], []
    for seed in range(200):
        logits, true = draw(1060, seed, factor=2)
        probabilities = compute_softmax(logits)
        threshold = compute_set_threshold(probabilities[range(60), true[:60]])
        assert threshold is not None
        covered = probabilities[range(60, 1060), true[60:]] >= threshold
        sets = build_sets(probabilities[60:], threshold)
        assert sets.any(1).all()
        assert sets[range(1000), true[60:]].mean() >= covered.mean()
        coverages.append(covered.mean())
        sizes.append(sets.sum(1).mean())
    expected = 55 / 61  # ceil(61 * 0.9) of the 61 places that a new example can have
    assert np.mean(coverages) == pytest.approx(expected, abs=3 * np.std(coverages) / 200**0.5)
    assert 1 < np.mean(sizes) < 4


def test_few_examples_have_no_sets() -> None:
    assert compute_set_threshold(np.full(8, 0.5)) is None
    assert compute_set_threshold(np.linspace(0.1, 0.9, 9)) == pytest.approx(0.1)
