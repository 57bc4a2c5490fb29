"""Scores corrected for selection: what the settings that were chosen really reach, and how surely.

The best of several scores is too good, because it was chosen for being the best: over the settings
and, for each of them, over the epochs. Bootstrap bias-corrected cross-validation (BBC) repeats the
choice on resamples of the validation examples, and scores it on the examples that a resample left
out.

Sources: I. Tsamardinos, E. Greasidou and G. Borboudakis, Machine Learning 107, 2018 (BBC);
A. Agresti and Y. Min, Statistics in Medicine 24, 2005 (the interval of a paired difference).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 300
"""Bootstrap resamples of each validation set."""
DRAWS = 4000
"""Draws for the probability of being the best."""
Z_95 = 1.959964

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class ValidatedRun:
    """One training run, measured on its validation set after each epoch."""

    costs: Values
    """float [epochs, n]: each example's contribution to the objective; the epoch with the lowest
    mean is chosen."""
    scores: Values
    """float [epochs, n]: each example's contribution to the score: 1 for a correct prediction, or
    a squared error."""


@dataclass(frozen=True)
class CorrectedScores:
    """Scores of several settings, trained on the same splits, without selection bias."""

    chosen: Values
    """[splits, n] The score of each example, for the setting and epoch that a choice without this
    example would take."""
    settings: Values
    """[settings, splits, n] The same for each setting, with the choice of its epoch alone."""

    @property
    def seed_variance(self) -> float:
        """Variance of a setting's mean score over splits and seeds, beyond that of the examples.

        Pooled over the settings; 0 for a single split.
        """
        return estimate_excess_variance(self.settings)


def correct_for_selection(runs: Sequence[Sequence[ValidatedRun]]) -> CorrectedScores:
    """Repeat the choice of setting and epoch on resamples of each validation set.

    Args:
        runs: [settings][splits]; runs of one split have the same n examples, and so have all
            splits.

    The setting with the lowest mean cost over the splits is chosen, each at its best epoch. The
    result is the same at each call.
    """
    settings, splits, n = len(runs), len(runs[0]), runs[0][0].costs.shape[1]
    rng = np.random.default_rng(0)
    costs = np.zeros((settings, splits, RESAMPLES))
    epochs = np.zeros((settings, splits, RESAMPLES), np.int64)
    left_out = []
    for split in range(splits):
        times = count_resampled(rng, n)  # [resamples, n]
        left_out.append((times == 0).astype(np.float32))
        for setting in range(settings):
            means = runs[setting][split].costs.astype(np.float32) @ times.T / n
            epochs[setting, split] = means.argmin(0)
            costs[setting, split] = means.min(0)
    best = costs.mean(1).argmin(0)  # [resamples]
    chosen = np.zeros((splits, n))
    epoch_scores = np.zeros((settings, splits, n))
    for split, left in enumerate(left_out):
        total = np.maximum(left.sum(0), 1)
        for setting in range(settings):
            run = runs[setting][split]
            picks = np.eye(len(run.scores), dtype=np.float32)[epochs[setting, split]]
            # How often each epoch was chosen while an example was left out, [epochs, n].
            epoch_scores[setting, split] = (picks.T @ left * run.scores).sum(0) / total
            picks[best != setting] = 0
            chosen[split] += (picks.T @ left * run.scores).sum(0) / total
    return CorrectedScores(chosen, epoch_scores)


def estimate_excess_variance(scores: Values) -> float:
    """Return the variance of means over splits beyond what n examples explain, 0 or more.

    `scores` is [settings, splits, n]; the variance is pooled over the settings.
    """
    if scores.shape[1] < 2:
        return 0.0
    between = scores.mean(2).var(1, ddof=1)
    within = scores.var(2).mean(1) / scores.shape[2]
    return max(0.0, float((between - within).mean()))


def compute_difference_interval(
    differences: Values, seed_variance: float, is_proportion: bool, z: float = Z_95
) -> tuple[float, float, float]:
    """Return the mean of paired differences, and its interval: 95 % by default.

    Args:
        differences: [splits, n], each example's score by one model minus that by another.
        seed_variance: Variance of a split's mean beyond that of its examples.
        is_proportion: Whether each score is 0 or 1. Agresti and Min's interval then adds one pair
            of differences, so that it keeps a width where two models agree on every example.
        z: Half-width in standard errors.
    """
    splits, count = len(differences), differences.size
    added = 1 if is_proportion else 0
    mean = float(differences.mean())
    squares = float(np.square(differences).sum()) + added
    center = mean * count / (count + 2 * added)
    variance = max(0.0, squares / (count + 2 * added) - center**2) / (count + 2 * added)
    half = z * math.sqrt(variance + seed_variance / splits)
    return mean, center - half, center + half


def compute_best_probabilities(scores: Values) -> list[float]:
    """Return each setting's probability to be the best of them.

    Args:
        scores: [settings, splits, n]; higher is better.

    The settings' means are drawn with the chance that examples, seeds and splits give them, and
    shrunk towards their common mean, by how much of their spread is chance, but by half at most.
    """
    settings, splits, _ = scores.shape
    if settings == 1:
        return [1.0]
    # Only differences between the settings count, and on the same examples these vary less.
    centred = scores - scores.mean(0)
    flat = centred.reshape(settings, -1)
    means = flat.mean(1)
    covariance = np.cov(flat) / flat.shape[1]
    seeds = estimate_excess_variance(centred) / splits
    covariance += (np.eye(settings) - 1 / settings) * seeds
    noise, spread = float(np.trace(covariance)) / (settings - 1), float(means.var(ddof=1))
    kept = max(0.5, 1 - noise / spread) if spread else 0.5
    size = max(float(np.abs(flat).max()), 1e-30)
    noise_floor = np.eye(settings) * (1e-9 * size) ** 2  # settings that agree on every example
    draws = np.random.default_rng(0).multivariate_normal(
        kept * means, kept * covariance + noise_floor, DRAWS
    )
    wins = np.bincount(draws.argmax(1), minlength=settings)
    return [float(each) for each in wins / DRAWS]


def count_resampled(rng: np.random.Generator, n: int) -> Values:
    """Return how often each of n examples is in each bootstrap resample, float32 [resamples, n]."""
    rows = [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(RESAMPLES)]
    return np.stack(rows).astype(np.float32)
