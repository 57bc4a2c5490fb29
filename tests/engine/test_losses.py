"""The losses as used in validation and on the test set, compared with torch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine.device_data import DeviceData
from harness.engine.losses import compute_example_losses, compute_probabilities
from harness.models.mlp import MLP
from harness.trial import CHOICES, TrialSpec
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
