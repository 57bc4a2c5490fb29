"""The metrics of a classification apart from accuracy and loss, for several trials at once.

auc                of two classes the area under the ROC curve of the second one; of more the mean
                   over the classes, each against all others
f1                 the mean of the classes' F1 scores
balanced_accuracy  the mean of the classes' accuracies
log_loss           the mean of -log of the true class's probability
brier              of two classes the mean squared error of the second one's probability; of more
                   the mean of the squared errors' sum over the classes

A class without examples is left out of a mean over classes. With examples of a single class there
is no AUC: it is NaN. Probabilities are those of `compute_probabilities`, scaled to a sum of 1, in
float64. scikit-learn's functions of these names give the same.

`compute_contributions` splits a metric into one part for each example, whose mean it is. Of a
metric that is no mean these are its first-order parts (the influence function; for AUC the
components of E. DeLong and others, Biometrics 44, 1988). So the chance of the examples is the
chance of a mean.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from harness.engine.losses import compute_probabilities
from harness.trial import Loss

ClassMetric = Literal["auc", "f1", "balanced_accuracy", "log_loss", "brier"]
EPSILON = torch.finfo(torch.float64).eps
"""The least probability whose logarithm is taken, as in scikit-learn."""


def normalize_probabilities(name: Loss, logits: Tensor) -> Tensor:
    """Return class probabilities that sum to 1, float64, from logits [..., C] of a model trained
    with this loss."""
    probabilities = compute_probabilities(name, logits.double())
    total = probabilities.sum(-1, keepdim=True)
    return torch.where(total > 0, probabilities / total, 1 / logits.shape[-1])


def count_confusion(true: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Return examples by [true][predicted], [C, C], from classes [n]."""
    counts = torch.bincount(true * classes + predicted, minlength=classes**2)
    return counts.view(classes, classes)


def compute_class_metric(
    name: ClassMetric, probabilities: Tensor, true: Tensor, confusion: Tensor
) -> Tensor:
    """Return a metric [...] of probabilities [..., n, C] for the classes `true` [n].

    `confusion` [..., C, C] has the examples by [true][predicted].
    """
    if name == "auc":
        return _average_classes(_compute_aucs(probabilities, true))
    if name in ("log_loss", "brier"):
        return _compute_example_scores(name, probabilities, true).mean(-1)
    correct, support = confusion.diagonal(dim1=-2, dim2=-1).double(), confusion.sum(-1)
    if name == "balanced_accuracy":
        return _average_classes(correct / support)
    by_class = 2 * correct / (support + confusion.sum(-2))
    return _average_classes(by_class.where(support > 0, torch.nan))


def compute_class_metrics(
    probabilities: Tensor, true: Tensor, confusion: Tensor
) -> dict[str, float]:
    """Return all metrics of one model's probabilities [n, C]; without an AUC that is NaN."""
    names: tuple[ClassMetric, ...] = ("auc", "f1", "balanced_accuracy", "log_loss", "brier")
    values = {
        name: float(compute_class_metric(name, probabilities, true, confusion)) for name in names
    }
    return {name: value for name, value in values.items() if value == value}


def compute_contributions(
    name: ClassMetric, probabilities: Tensor, true: Tensor, predicted: Tensor
) -> Tensor:
    """Return one model's contributions [n], float64, from probabilities [n, C] and classes [n]."""
    if name in ("log_loss", "brier"):
        return _compute_example_scores(name, probabilities, true)
    n, classes = probabilities.shape
    is_true = _one_hot(true, classes)  # [C, n]
    if name == "auc":
        return _compute_auc_contributions(probabilities, is_true)
    is_correct = is_true * (predicted == true)
    numerator, denominator = is_correct, is_true
    if name == "f1":
        numerator, denominator = 2 * is_correct, is_true + _one_hot(predicted, classes)
    total = denominator.sum(-1, keepdim=True)
    ratio = numerator.sum(-1, keepdim=True) / total
    by_class = ratio + n * (numerator - ratio * denominator) / total
    return by_class[is_true.any(-1)].mean(0)


def _average_classes(values: Tensor) -> Tensor:
    """Return the mean over the last axis without NaN."""
    return values.nanmean(-1)


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return [C, n], float64."""
    return (labels == torch.arange(classes, device=labels.device).unsqueeze(1)).double()


def _compute_example_scores(name: ClassMetric, probabilities: Tensor, true: Tensor) -> Tensor:
    """Return the log loss or squared error of each example, [..., n]."""
    classes = probabilities.shape[-1]
    if name == "log_loss":
        index = true.expand(probabilities.shape[:-1]).unsqueeze(-1)
        return -probabilities.gather(-1, index).squeeze(-1).clamp_min(EPSILON).log()
    squares = (probabilities - _one_hot(true, classes).t()).square()
    return squares[..., 1] if classes == 2 else squares.sum(-1)


def _compute_aucs(probabilities: Tensor, true: Tensor) -> Tensor:
    """Return each class's AUC [..., C], or only the second one's of two: [..., 1]."""
    scores, is_true = _select_scores(probabilities, _one_hot(true, probabilities.shape[-1]))
    positives = is_true.sum(-1)
    negatives = len(true) - positives
    ranks = (_compute_midranks(scores) * is_true).sum(-1)
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def _select_scores(probabilities: Tensor, is_true: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores [..., C, n] of the classes, of two only the second's, and `is_true`."""
    scores = probabilities.transpose(-1, -2)
    if len(is_true) == 2:
        scores, is_true = scores[..., 1:, :], is_true[1:]
    return scores.contiguous(), is_true


def _compute_midranks(scores: Tensor) -> Tensor:
    """Return ranks [..., n], float64, counted from 1; equal scores have the mean of theirs."""
    ascending = scores.sort(-1).values
    below = torch.searchsorted(ascending, scores)
    up_to = torch.searchsorted(ascending, scores, right=True)
    return (below + up_to + 1).double() / 2


def _compute_auc_contributions(probabilities: Tensor, is_true: Tensor) -> Tensor:
    scores, is_true = _select_scores(probabilities, is_true)
    n, parts = scores.shape[-1], []
    for row, label in zip(scores, is_true.bool(), strict=True):
        positives, negatives = int(label.sum()), int((~label).sum())
        if not positives or not negatives:
            continue
        ranks, shares = _compute_midranks(row), torch.empty_like(row)
        # The share of the examples of the other side that an example is on the right side of.
        shares[label] = (ranks[label] - _compute_midranks(row[label])) / negatives
        shares[~label] = 1 - (ranks[~label] - _compute_midranks(row[~label])) / positives
        auc = shares[label].mean()
        size = torch.where(label, positives, negatives)
        parts.append(auc + (shares - auc) * n / size)
    return torch.stack(parts).mean(0) if parts else torch.full_like(scores[0], torch.nan)
