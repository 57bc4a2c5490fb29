"""The scores of predictions on an outer test part."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

SMALLEST_PROBABILITY = 1e-7
"""A probability below it counts as it: one row costs at most 16.1 of log loss."""


def score_classes(y: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Score probabilities [n, classes]: error, log loss and AUC.

    The AUC of more than 2 classes is the unweighted mean of each class against the rest.
    """
    clipped = np.clip(probabilities.astype(np.float64), SMALLEST_PROBABILITY, None)
    clipped /= clipped.sum(axis=1, keepdims=True)
    truth = np.eye(clipped.shape[1])[y]
    if clipped.shape[1] == 2:
        auc = roc_auc_score(y, clipped[:, 1])
    else:
        auc = roc_auc_score(truth, clipped, average="macro")
    return {
        "error": float(np.mean(clipped.argmax(axis=1) != y)),
        "log_loss": float(-np.mean(np.log(clipped[np.arange(len(y)), y]))),
        "auc": float(auc),
    }


def score_numbers(y: np.ndarray, predictions: np.ndarray, deviation: float) -> dict[str, float]:
    """Score numbers [n]; `nrmse` is the RMSE over the standard deviation of the table's target."""
    errors = predictions.astype(np.float64) - y
    rmse = float(np.sqrt(np.mean(errors**2)))
    return {
        "rmse": rmse,
        "mae": float(np.mean(np.abs(errors))),
        "r2": float(1 - np.mean(errors**2) / np.var(y)),
        "nrmse": rmse / deviation,
    }
