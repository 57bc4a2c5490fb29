"""Greedy selection of an ensemble from the predictions of many models.

Source: R. Caruana et al., "Ensemble selection from libraries of models", ICML 2004: in each step
add the model, an earlier one too, with which the mean of the predictions is best. The first best
step ends it, as later ones add parameters and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
Error = Callable[[Values, Values], float]
"""Predictions and true values [n] -> a number that is lower for better predictions. Predictions are
probabilities [n, C] of classes, or values [n] in the target's units."""

MIN_PROBABILITY = 1e-12


def compute_log_loss(probabilities: Values, true: Values) -> float:
    """Return the mean negative log-likelihood of the true classes."""
    likelihoods = np.maximum(probabilities[np.arange(len(true)), true], MIN_PROBABILITY)
    return float(-np.log(likelihoods).mean())


def compute_error_rate(probabilities: Values, true: Values) -> float:
    """Return the share of examples whose most probable class is not the true one."""
    return float((probabilities.argmax(1) != true).mean())


def compute_brier_score(probabilities: Values, true: Values) -> float:
    """Return the mean over the examples of the squared errors, added up over the classes."""
    errors = probabilities.astype(np.float64)
    errors[np.arange(len(true)), true] -= 1
    return float(np.square(errors).sum(1).mean())


def compute_unbalanced_error(probabilities: Values, true: Values) -> float:
    """Return 1 minus the balanced accuracy."""
    right = probabilities.argmax(1) == true
    return 1 - float(np.mean([right[true == each].mean() for each in np.unique(true)]))


def compute_f1_error(probabilities: Values, true: Values) -> float:
    """Return 1 minus the macro F1, over the classes that the examples have."""
    predicted, scores = probabilities.argmax(1), []
    for each in np.unique(true):
        hits = ((predicted == each) & (true == each)).sum()
        scores.append(2 * hits / ((predicted == each).sum() + (true == each).sum()))
    return 1 - float(np.mean(scores))


def compute_auc_error(probabilities: Values, true: Values) -> float:
    """Return 1 minus the AUC; of several classes the mean of each against the others."""
    from scipy.stats import rankdata

    classes = [1] if probabilities.shape[1] == 2 else np.unique(true)
    scores = []
    for each in classes:
        is_class, ranks = true == each, rankdata(probabilities[:, each])
        positive, negative = is_class.sum(), (~is_class).sum()
        if positive and negative:
            area = ranks[is_class].sum() - positive * (positive + 1) / 2
            scores.append(area / (positive * negative))
    return 1 - float(np.mean(scores)) if scores else 0.0


def compute_mean_squared_error(predicted: Values, true: Values) -> float:
    """Return the mean squared error, in squared units of the target."""
    return float(np.square(predicted.astype(np.float64) - true).mean())


def compute_mean_absolute_error(predicted: Values, true: Values) -> float:
    """Return the mean absolute error, in the target's units."""
    return float(np.abs(predicted.astype(np.float64) - true).mean())


CLASS_ERRORS: Mapping[str, Error] = {
    "val/accuracy": compute_error_rate,
    "val/loss": compute_log_loss,
    "val/log_loss": compute_log_loss,
    "val/brier": compute_brier_score,
    "val/balanced_accuracy": compute_unbalanced_error,
    "val/f1": compute_f1_error,
    "val/auc": compute_auc_error,
}
VALUE_ERRORS: Mapping[str, Error] = {
    "val/rmse": compute_mean_squared_error,
    "val/r2": compute_mean_squared_error,
    "val/mae": compute_mean_absolute_error,
    "val/loss": compute_mean_squared_error,
}
"""What an ensemble of a study with each objective minimizes. Ties are decided by the log loss, or
by the squared error of a regression. There is none for the quantile loss, whose level differs."""


def draw_halves(true: Values, seed: int) -> tuple[Values, Values]:
    """Draw two halves of the examples [n]: the sorted rows of the first and of the second.

    They are stratified: of each two neighbours in the order of the classes or values, one is in
    either half. The first half has one more example if n is odd.
    """
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(true)), true))
    pairs = len(true) // 2
    flips = rng.integers(2, size=pairs)
    firsts = order[2 * np.arange(pairs) + flips]
    seconds = order[2 * np.arange(pairs) + 1 - flips]
    return np.sort(np.concatenate([firsts, order[2 * pairs :]])), np.sort(seconds)


def select_greedily(
    predictions: Values, true: Values, size: int, objective: str
) -> tuple[int, ...]:
    """Return the places of the ensemble's members in `predictions`, in the order of their choice.

    A place may occur several times: its share of the list is the model's weight.

    Args:
        predictions: [M, n, C] probabilities, or [M, n] values, of M models. Of equal models the
            first is chosen.
        true: [n] classes or values.
        size: The most members.
    """
    is_classes = predictions.ndim == 3
    errors = CLASS_ERRORS if is_classes else VALUE_ERRORS
    tie = compute_log_loss if is_classes else compute_mean_squared_error
    error = errors.get(objective, tie)
    chosen: list[int] = []
    best: tuple[float, float] | None = None
    best_length = 0
    total = np.zeros(predictions.shape[1:], np.float64)
    for step in range(1, size + 1):
        keys = []
        for each in predictions:
            mean = (total + each) / step
            first = error(mean, true)
            keys.append((first, first if error is tie else tie(mean, true)))
        place = min(range(len(keys)), key=keys.__getitem__)
        chosen.append(place)
        total += predictions[place]
        if best is None or keys[place] < best:
            best, best_length = keys[place], step
    return tuple(chosen[:best_length])
