"""Calibration of class probabilities: its error, temperature scaling and reliability bins.

A classifier is calibrated if, of the predictions with probability 0.8, 80 % are right.

ece     expected calibration error: of 15 equal bins of the predicted class's probability, the mean
        distance of the bin's accuracy from its mean probability, weighted by examples (C. Guo et
        al., "On calibration of modern neural networks", ICML 2017, arXiv 1706.04599)
brier   of two classes the mean squared error of the second one's probability; of more the mean of
        the squared errors' sum over the classes, as in `harness.engine.class_metrics`

The ECE is never 0 on few examples, even of a calibrated model: chance alone moves the accuracy of a
bin. So it comes with `ece_by_chance`, what a calibrated model with the same probabilities exceeds
in 5 % of such samples. Below that, its interval starts at 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.stats.metric_intervals import compute_loss_interval

BINS = 15
FOLDS = 5
LOWEST, HIGHEST = 0.02, 50.0
"""The bounds of the temperature."""
RESAMPLES = 500
SEED = 0
"""Of the folds and the resamples."""

Values = npt.NDArray[Any]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Bin:
    """The examples whose predicted class has a probability in one of the equal bins."""

    examples: int
    probability: float
    """The mean probability of the predicted classes; 0 without examples."""
    accuracy: float


@dataclass(frozen=True)
class CalibrationScores:
    """How well the probabilities of one model are calibrated on some examples."""

    examples: int
    ece: float
    ece_interval: Interval
    ece_by_chance: float
    """What the ECE of a calibrated model with these probabilities exceeds in 5 % of samples."""
    brier: float
    brier_interval: Interval
    log_loss: float
    bins: tuple[Bin, ...]
    coverage: float | None = None
    """On the test set: the share of the examples whose 90 % set has the true class."""
    set_size: float | None = None
    """On the test set: the mean number of classes in a set."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values as JSON has them, which `from_dict` reads."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CalibrationScores:
        """Read what `to_dict` wrote. Raises KeyError, TypeError or ValueError for other values."""
        intervals = {
            name: (float(values[name][0]), float(values[name][1]))
            for name in ("ece_interval", "brier_interval")
        }
        bins = tuple(Bin(**each) for each in values["bins"])
        return cls(**{**values, **intervals, "bins": bins})


def measure_calibration(
    probabilities: Values, true: Values, distinct: slice | Values = slice(None)
) -> CalibrationScores:
    """Measure probabilities [n, C] that add up to 1, of examples of the classes `true` [n].

    `distinct`: the first of each of equal examples, which alone count in the intervals.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == true
    squares = compute_squared_errors(probabilities, true)
    likelihoods = probabilities[np.arange(len(true)), true]
    interval, by_chance = _compute_ece_interval(confidence[distinct], right[distinct])
    ece = compute_ece(confidence, right)
    return CalibrationScores(
        examples=len(true),
        ece=ece,
        ece_interval=(min(interval[0], ece), max(interval[1], ece)),
        ece_by_chance=by_chance,
        brier=float(squares.mean()),
        brier_interval=compute_loss_interval(squares[distinct]),
        log_loss=float(-np.log(np.maximum(likelihoods, np.finfo(np.float64).eps)).mean()),
        bins=compute_bins(confidence, right),
    )


def compute_ece(confidence: Values, right: Values) -> float:
    """Return the expected calibration error of predictions with these probabilities [n]."""
    return _add_gaps(_find_bins(confidence), right - confidence)


def compute_bins(confidence: Values, right: Values) -> tuple[Bin, ...]:
    """Return all bins, the lowest probability first: the points of a reliability diagram."""
    places = _find_bins(confidence)
    counts = np.bincount(places, minlength=BINS)
    sums = (np.bincount(places, values, BINS) for values in (confidence, right))
    means = [(total / np.maximum(counts, 1)).tolist() for total in sums]
    return tuple(Bin(*each) for each in zip(counts.tolist(), *means, strict=True))


def compute_squared_errors(probabilities: Values, true: Values) -> Values:
    """Return each example's part [n] of the Brier score."""
    errors = probabilities.astype(np.float64)
    errors[np.arange(len(true)), true] -= 1
    squares: Values = np.square(errors)
    return squares[:, 1] if squares.shape[1] == 2 else squares.sum(1)


def compute_softmax(logits: Values) -> Values:
    """Return the probabilities [n, C] of logits."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: Values = powers / powers.sum(1, keepdims=True)
    return shares


def fit_temperature(logits: Values, true: Values) -> float:
    """Return the T for which softmax(logits / T) has the lowest negative log-likelihood.

    log T has a normal prior with standard deviation 1, which is worth little beside the examples.
    It decides where no prediction is wrong: there the likelihood would make the model certain.
    """
    from scipy.optimize import minimize_scalar

    gaps = logits.astype(np.float64)
    gaps = gaps - gaps[np.arange(len(true)), true][:, None]
    highest = np.maximum(gaps.max(1, keepdims=True), 0)

    def compute_loss(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        sums = np.exp((gaps - highest) * inverse).sum(1)
        losses = highest[:, 0] * inverse + np.log(sums)
        return float(losses.sum() + log_temperature**2 / 2)

    bounds = (np.log(LOWEST), np.log(HIGHEST))
    best = minimize_scalar(compute_loss, bounds=bounds, method="bounded")
    return float(np.exp(best.x))


def scale_across_folds(logits: Values, true: Values) -> Values:
    """Return softmax(logits / T) [n, C], where each fold's T is fitted on the other folds.

    So the probabilities of an example do not depend on its own class. Of one example, T is 1.
    """
    order = np.random.default_rng(SEED).permutation(len(true))
    scaled = compute_softmax(logits.astype(np.float64))
    for fold in np.array_split(order, min(FOLDS, len(true))):
        others = np.setdiff1d(order, fold)
        temperature = fit_temperature(logits[others], true[others])
        scaled[fold] = compute_softmax(logits[fold].astype(np.float64) / temperature)
    return scaled


def _find_bins(confidence: Values) -> Values:
    """Return the bin of each probability, which includes its upper end."""
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    return np.searchsorted(edges, confidence, side="left")


def _add_gaps(places: Values, gaps: Values) -> float:
    """Return the ECE of examples in these bins, whose gaps are right (0 or 1) - probability."""
    return float(np.abs(np.bincount(places, gaps, BINS)).sum() / len(gaps))


def _compute_ece_interval(confidence: Values, right: Values) -> tuple[Interval, float]:
    """Return the 95 % interval of the ECE, and what a calibrated model exceeds in 5 % of samples.

    The interval is the basic bootstrap's, which is centred lower than the ECE: resampling adds
    chance once more, as much as drawing the sample had added. It starts at 0 if a calibrated model
    may have this ECE.
    """
    rng, n = np.random.default_rng(SEED), len(confidence)
    places, gaps = _find_bins(confidence), right - confidence
    ece, resampled, calibrated = _add_gaps(places, gaps), [], []
    for _ in range(RESAMPLES):
        rows = rng.integers(n, size=n)
        resampled.append(_add_gaps(places[rows], gaps[rows]))
        calibrated.append(_add_gaps(places, (rng.random(n) < confidence) - confidence))
    by_chance = float(np.quantile(calibrated, 0.95))
    high, low = (max(0.0, 2 * ece - float(np.quantile(resampled, q))) for q in (0.025, 0.975))
    return (0.0 if ece <= by_chance else low, max(high, low)), by_chance
