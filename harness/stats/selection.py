"""Scores corrected for selection: what the settings that were chosen really reach, and how surely.

The best of several scores is too good, because it was chosen for being the best: over the settings
and, for each of them, over the epochs. Bootstrap bias-corrected cross-validation (BBC) repeats the
choice on resamples of the validation examples, and scores it on the examples that a resample left
out.

Sources: I. Tsamardinos, E. Greasidou and G. Borboudakis, Machine Learning 107, 2018 (BBC);
A. Agresti and B. A. Coull, The American Statistician 52, 1998 (the interval of a mean); A. Agresti
and Y. Min, Statistics in Medicine 24, 2005 (the interval of a paired difference).
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

    ranked: Values
    """[settings, splits, n] The score of each example, for the setting that gets this setting's
    rank without the example, at the epoch that is chosen without it. So the lead of the best over
    the second best is not too large. Masked at the end of a split with fewer examples than n."""
    settings: Values
    """[settings, splits, n] The same for each setting itself, with the choice of its epoch alone.
    """

    @property
    def chosen(self) -> Values:
        """[splits, n] The scores of the first setting, the champion's, as it was chosen."""
        first: Values = self.ranked[0]
        return first

    @property
    def seed_variance(self) -> float:
        """Variance of a setting's mean score over splits and seeds, beyond that of the examples."""
        return estimate_seed_variance(self.settings)


def correct_for_selection(
    runs: Sequence[Sequence[ValidatedRun]], root: bool = False
) -> CorrectedScores:
    """Repeat the choice of setting and epoch on resamples of each validation set.

    Args:
        runs: [settings][splits]; runs of one split have the same examples. Splits may differ in
            their number: groups that stay together are of different size.
        root: Whether a split's cost is the root of its examples' mean, as an RMSE is.

    Settings are ranked by their mean cost over the splits, each at its best epoch; of equal ones
    the first, so the champion is passed first. The result is the same at each call.
    """
    settings, splits = len(runs), len(runs[0])
    sizes = [run.costs.shape[1] for run in runs[0]]
    rng = np.random.default_rng(0)
    costs = np.zeros((settings, splits, RESAMPLES))
    epochs = np.zeros((settings, splits, RESAMPLES), np.int64)
    left_out = []
    for split, n in enumerate(sizes):
        times = count_resampled(rng, n)  # [resamples, n]
        left_out.append((times == 0).astype(np.float32))
        for setting in range(settings):
            means = runs[setting][split].costs.astype(np.float32) @ times.T / n
            epochs[setting, split] = means.argmin(0)
            costs[setting, split] = _compute_cost(means.min(0), root)
    order = _rank_costs(costs.mean(1), digits=5)  # [ranks, resamples]
    reached = np.array(
        [np.mean([_compute_cost(run.costs.mean(1).min(), root) for run in row]) for row in runs]
    )
    ranks = np.argsort(_rank_costs(reached, digits=9))
    ranked, epoch_scores = (_create_scores(settings, sizes) for _ in range(2))
    for split, left in enumerate(left_out):
        scores = np.concatenate([row[split].scores for row in runs])  # [all epochs, n]
        size = float(np.abs(scores).max()) or 1.0
        shares = (scores / size).astype(np.float32)
        first = np.cumsum([0, *(len(row[split].scores) for row in runs[:-1])])
        chosen = first[:, None] + epochs[:, split]  # the epochs' rows, [settings, resamples]
        by_rank = np.take_along_axis(chosen, order, 0)
        for setting, rank in enumerate(ranks):
            at = setting, split, slice(sizes[split])
            epoch_scores[at] = size * _average_left_out(shares, chosen[setting], left)
            ranked[at] = size * _average_left_out(shares, by_rank[rank], left)
    return CorrectedScores(ranked, epoch_scores)


def _create_scores(settings: int, sizes: Sequence[int]) -> Values:
    """Return zeros [settings, splits, n], masked where a split has fewer than n examples."""
    return stack_scores([[np.zeros(size) for size in sizes]] * settings)


def stack_scores(rows: Sequence[Sequence[Values]]) -> Values:
    """Stack the scores [n] of settings and splits as [settings, splits, n], masked as above."""
    sizes = np.array([len(each) for each in rows[0]])
    scores: Values = np.zeros((len(rows), len(sizes), sizes.max()))
    for at in np.ndindex(scores.shape[:2]):
        scores[at][: sizes[at[1]]] = rows[at[0]][at[1]]
    if sizes.min() < sizes.max():
        mask = np.arange(sizes.max()) >= sizes[:, None]  # [splits, n]
        scores = np.ma.masked_array(scores, np.broadcast_to(mask, scores.shape).copy())
    return scores


def count_scores(scores: Values) -> int:
    """Return the number of scores that are not masked."""
    return int(np.ma.count(scores))


def flatten_scores(scores: Values) -> Values:
    """Return the scores of all splits in one row, without masked ones; [settings, ...] keep rows.

    Args:
        scores: [splits, n] or [settings, splits, n]
    """
    rows = scores.reshape(*scores.shape[:-2], -1)
    kept = ~np.ma.getmaskarray(rows).reshape(-1, rows.shape[-1])[0]
    flat: Values = np.asarray(rows)[..., kept]
    return flat


def _compute_cost(means: Values, root: bool) -> Values:
    """Return what a split costs: the examples' mean, or its root."""
    costs: Values = np.sqrt(means) if root else means
    return costs


def _rank_costs(costs: Values, digits: int) -> Values:
    """Return the settings by cost, the lowest first; rounding decides no tie.

    `costs` is [settings, ...]. Of settings that are equal to so many digits, the first is first.
    """
    scale = float(np.abs(costs).max()) or 1.0
    order: Values = np.round(costs / scale, digits).argsort(0, kind="stable")
    return order


def _average_left_out(scores: Values, rows: Values, left: Values) -> Values:
    """Return each example's mean score over the resamples that left it out, [n].

    Args:
        scores: float32 [rows, n]
        rows: The row of `scores` that each resample chose.
        left: float32 [resamples, n], 1 where the resample left the example out.
    """
    sums: Values = np.einsum("rn,rn->n", scores[rows], left).astype(np.float64)
    means: Values = sums / np.maximum(left.sum(0), 1)
    return means


def estimate_seed_variance(settings: Values) -> float:
    """Return the variance of a setting's mean score over seeds and splits, 0 for a single split.

    Args:
        settings: [settings, splits, n]

    Several settings are compared with their mean, because that cancels the chance of the examples.
    What is left is the variance between splits beyond that of n examples. Few splits estimate it so
    roughly that it is often below 0, where it is never. So it is the mean of the values from 0 on
    that the estimate and its standard error allow: of the truncated normal distribution.
    """
    count, splits, _ = map(int, settings.shape)
    if splits < 2:
        return 0.0
    centred = settings - settings.mean(0) if count > 1 else settings
    others = max(1, count - 1)
    between = float(centred.mean(2).var(1, ddof=1).sum()) / others
    n = np.ma.count(settings[0], axis=1)  # [splits]
    within = float((centred.var(2) / n).mean(1).sum()) / others
    excess = between - within
    if count == 1:
        return max(0.0, excess)
    error = max(between, within) * math.sqrt(2 / (others * (splits - 1)))
    return excess + error * _compute_mills_ratio(excess / error) if error else 0.0


def _compute_mills_ratio(x: float) -> float:
    """Return the normal density at x over its integral up to x."""
    from scipy.special import log_ndtr

    return math.exp(-x * x / 2 - math.log(2 * math.pi) / 2 - float(log_ndtr(x)))


def compute_score_interval(scores: Values, seed_variance: float) -> tuple[float, float]:
    """Return the 95 % interval of the mean of scores from 0 to 1, as Agresti and Coull's.

    Args:
        scores: [splits, n]; means over epochs, so their variance is below that of a proportion.
        seed_variance: Variance of a split's mean beyond that of its examples.

    Two scores of 0 and two of 1 are added, so that it keeps a width where all scores are equal.
    """
    count = count_scores(scores) + 4
    center = (float(scores.sum()) + 2) / count
    squares = float(np.square(scores).sum()) + 2
    variance = max(0.0, squares / count - center**2) / count
    half = Z_95 * math.sqrt(variance + seed_variance / len(scores))
    return max(0.0, center - half), min(1.0, center + half)


def compute_plain_interval(scores: Values, seed_variance: float) -> tuple[float, float]:
    """Return the 95 % interval of the mean of any scores [splits, n], as a normal variable's.

    Args:
        scores: Their mean is the metric.
        seed_variance: Variance of a split's mean beyond that of its examples.
    """
    half = Z_95 * math.sqrt(
        float(scores.var()) / count_scores(scores) + seed_variance / len(scores)
    )
    mean = float(scores.mean())
    return mean - half, mean + half


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
    splits, count = len(differences), count_scores(differences)
    added = 1 if is_proportion else 0
    mean = float(differences.mean())
    squares = float(np.square(differences).sum()) + added
    center = mean * count / (count + 2 * added)
    variance = max(0.0, squares / (count + 2 * added) - center**2) / (count + 2 * added)
    half = z * math.sqrt(variance + seed_variance / splits)
    return mean, center - half, center + half


def compute_best_probabilities(scores: Values, seed_variance: float) -> list[float]:
    """Return each setting's probability to be the best of them.

    Args:
        scores: [settings, splits, n]; higher is better.
        seed_variance: Of a setting's mean on one split, beyond that of its examples.

    The settings' means are drawn with the chance that examples, seeds and splits give them, and
    shrunk towards their common mean, by how much of their spread is chance, but by half at most.
    """
    settings, splits, _ = scores.shape
    if settings == 1:
        return [1.0]
    # Only differences between the settings count, and on the same examples these vary less.
    flat = flatten_scores(scores - scores.mean(0))
    means = flat.mean(1)
    covariance = np.cov(flat) / flat.shape[1]
    seeds = seed_variance / splits
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
