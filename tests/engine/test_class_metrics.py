"""AUC, F1, balanced accuracy, log loss and Brier score, compared with scikit-learn's."""

from __future__ import annotations

import math
import warnings

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn import metrics

from harness.engine.class_metrics import (
    ClassMetric,
    compute_class_metric,
    compute_contributions,
    count_confusion,
    normalize_probabilities,
)
from harness.metrics import CLASS_FIELDS

NAMES: tuple[ClassMetric, ...] = ("auc", "f1", "balanced_accuracy", "log_loss", "brier")
CASES = range(60)


def draw_case(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw probabilities [n, C] and classes [n]: with ties, often with absent classes."""
    rng = np.random.default_rng(seed)
    n, classes = int(rng.integers(2, 40)), int(rng.integers(2, 6))
    logits = rng.normal(size=(n, classes)) * rng.choice([0.5, 3, 30])
    if seed % 2:
        logits = np.round(logits)
    true = rng.integers(0, rng.integers(2, classes + 1), n)
    true[:2] = 0, 1  # AUC needs two classes
    return normalize_probabilities("cross-entropy", torch.tensor(logits)), torch.tensor(true)


def compute_by_sklearn(name: str, p: npt.NDArray[np.float64], true: npt.NDArray[np.int64]) -> float:
    predicted, present, classes = p.argmax(1), np.unique(true), p.shape[1]
    if name == "auc":
        if classes == 2:
            return float(metrics.roc_auc_score(true, p[:, 1]))
        return float(np.mean([metrics.roc_auc_score(true == each, p[:, each]) for each in present]))
    if name == "f1":
        return float(metrics.f1_score(true, predicted, labels=present, average="macro"))
    if name == "balanced_accuracy":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a class that is predicted and absent
            return float(metrics.balanced_accuracy_score(true, predicted))
    if name == "log_loss":
        return float(metrics.log_loss(true, p, labels=range(classes)))
    if classes == 2:
        return float(metrics.brier_score_loss(true, p[:, 1]))
    return float(metrics.brier_score_loss(true, p, labels=range(classes)))


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_equals_scikit_learns(name: ClassMetric) -> None:
    for seed in CASES:
        p, true = draw_case(seed)
        value = compute_class_metric(name, p, true, count_confusion(true, p.argmax(1), p.shape[1]))
        expected = compute_by_sklearn(name, p.numpy(), true.numpy())
        assert value.item() == pytest.approx(expected, abs=1e-12), seed


@pytest.mark.parametrize("name", NAMES)
def test_several_models_are_measured_at_once(name: ClassMetric) -> None:
    p, true = draw_case(4)
    models = torch.stack([p, p.flip(0), p.flip(1)])
    confusions = torch.stack([count_confusion(true, q.argmax(1), p.shape[1]) for q in models])
    each = [
        compute_class_metric(name, q, true, counts)
        for q, counts in zip(models, confusions, strict=True)
    ]
    together = compute_class_metric(name, models, true, confusions)
    assert together.tolist() == torch.stack(each).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_contributions_have_the_metric_as_their_mean(name: ClassMetric) -> None:
    for seed in CASES:
        p, true = draw_case(seed)
        value = compute_class_metric(name, p, true, count_confusion(true, p.argmax(1), p.shape[1]))
        parts = compute_contributions(name, p, true, p.argmax(1))
        assert parts.shape == true.shape
        assert parts.mean().item() == pytest.approx(value.item(), abs=1e-9), seed


@pytest.mark.parametrize("name", NAMES)
def test_the_spread_of_contributions_is_that_of_resamples(name: ClassMetric) -> None:
    rng = np.random.default_rng(0)
    true = torch.tensor(rng.choice(3, 400, p=[0.7, 0.2, 0.1]))
    logits = torch.tensor(rng.normal(size=(400, 3))) + torch.nn.functional.one_hot(true, 3)
    p = normalize_probabilities("cross-entropy", logits)
    parts = compute_contributions(name, p, true, p.argmax(1))
    values = []
    for _ in range(400):
        rows = torch.tensor(rng.integers(400, size=400))
        counts = count_confusion(true[rows], p[rows].argmax(1), 3)
        values.append(compute_class_metric(name, p[rows], true[rows], counts).item())
    error = parts.std().item() / math.sqrt(len(parts))
    assert error == pytest.approx(float(np.std(values)), rel=0.15)


def test_the_auc_of_a_single_class_is_not_a_number() -> None:
    p = normalize_probabilities("cross-entropy", torch.randn(5, 2))
    true = torch.ones(5, dtype=torch.int64)
    assert compute_class_metric("auc", p, true, count_confusion(true, true, 2)).isnan()
    assert compute_contributions("auc", p, true, true).isnan().all()


@pytest.mark.parametrize("loss", ["cross-entropy", "bce", "mse"])
def test_probabilities_sum_to_one(loss: str) -> None:
    logits = torch.tensor([[3.0, -1.0, 0.5], [-9.0, -9.0, -9.0], [0.0, 0.0, 0.0]])
    p = normalize_probabilities(loss, logits)  # type: ignore[arg-type]
    assert p.dtype == torch.float64
    torch.testing.assert_close(p.sum(1), torch.ones(3, dtype=torch.float64))


def test_every_metric_has_a_field() -> None:
    assert tuple(f"val_{name}" for name in NAMES) == CLASS_FIELDS
