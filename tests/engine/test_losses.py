"""The losses as used in validation and on the test set, compared with torch's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import Split, load_splits
from harness.engine.device_data import DeviceData
from harness.engine.losses import (
    compute_example_losses,
    compute_loss_and_gradient,
    compute_probabilities,
)
from harness.engine.masks import Masks
from harness.engine.padding import Layout
from harness.models.mlp import MLP
from harness.trial import CHOICES, TrialSpec
from tests.engine import autograd_reference
from tests.engine.autograd_reference import create_group, train_steps

CLASS_LOSSES = [name for name in CHOICES["loss"] if name != "quantile"]
LOGITS = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
LABELS = torch.arange(50) % 4


def compute_by_torch(name: str, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    target = F.one_hot(y, logits.shape[1]).to(logits)
    if name == "cross-entropy":
        return F.cross_entropy(logits, y)
    return (F.mse_loss if name == "mse" else F.binary_cross_entropy_with_logits)(logits, target)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_the_mean_over_examples_equals_torchs_loss(name: str) -> None:
    values = compute_example_losses(name, LOGITS, LABELS)
    assert values.shape == (50,)
    torch.testing.assert_close(values.mean(), compute_by_torch(name, LOGITS, LABELS))


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_probabilities_are_between_0_and_1_and_rank_like_logits(name: str) -> None:
    values = compute_probabilities(name, LOGITS)
    assert ((values >= 0) & (values <= 1)).all()
    best = LOGITS.argmax(1, keepdim=True)
    assert (values.gather(1, best) == values.max(1, keepdim=True).values).all()


def test_each_trial_of_a_group_is_validated_by_its_own_loss(digits: PreparedDataset) -> None:
    data = DeviceData(load_splits(digits.training), dtype=torch.float64)
    specs = [TrialSpec(hidden=(8,), batch_size=64, loss=name) for name in ("mse", "bce")]
    group = create_group([*specs, TrialSpec(hidden=(8,), batch_size=64)], data)
    train_steps(group, 5)
    validated = group.validate()
    raw = data.val_inputs / data.inv_std + data.mean
    for slot, trial in enumerate(group.trials):
        assert trial is not None
        model = MLP(trial.spec, data.classes, data.mean, data.inv_std, data.dtype).eval()
        model.load_state_dict(group.weights(slot, trial.spec), strict=False)
        expected = compute_by_torch(trial.spec.loss, model(raw), data.val_labels)
        assert validated.loss[slot] == pytest.approx(expected.item(), abs=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("name", ["cross-entropy", "mse", "bce"])
def test_a_weighted_loss_and_its_gradient_equal_torchs(name: str, smoothing: float) -> None:
    weights = torch.tensor([0.05, 1.0, 7.0, 30.0], dtype=torch.float64)
    spec = TrialSpec(loss=name, label_smoothing=smoothing, class_weights="balanced")
    plain = replace(spec, class_weights="none", seed=1)
    masks = Masks(Layout.tight([spec, plain]), 4, torch.device("cpu"), torch.float64)
    masks.load(0, spec, weights)
    masks.load(1, plain)
    both = LOGITS.unsqueeze(1).expand(-1, 2, -1).clone()
    loss, dz = compute_loss_and_gradient(both, LABELS.unsqueeze(1).expand(-1, 2), masks, True)
    for slot, each in enumerate([weights, None]):
        logits = LOGITS.clone().requires_grad_()
        expected = autograd_reference.compute_loss(spec, logits, LABELS, each)
        expected.backward()
        torch.testing.assert_close(loss[slot], expected.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(dz[:, slot], logits.grad, rtol=1e-10, atol=1e-15)


def test_balanced_weights_are_scikit_learns_on_the_training_rows(digits: PreparedDataset) -> None:
    """Class 3 has no training example; the validation set changes nothing."""
    splits = load_splits(digits.training)
    labels = splits.train.labels.clone()
    rows = splits.train.rows[labels[splits.train.rows] != 3]
    labels[splits.validation.rows] = 9
    train = Split(splits.train.inputs, labels, rows, 0.0, 1.0)
    data = DeviceData(replace(splits, train=train), dtype=torch.float64)
    y = labels[rows].numpy()
    expected = compute_class_weight("balanced", classes=np.unique(y), y=y)
    weights = data.balanced_weights.numpy()
    assert weights[3] == 0
    np.testing.assert_allclose(np.delete(weights, 3), expected)
