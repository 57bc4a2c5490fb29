"""The losses as they are validated and read on the test set, against torch's own."""

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

LOGITS = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
LABELS = torch.arange(50) % 4


def by_torch(name: str, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    target = F.one_hot(y, logits.shape[1]).to(logits)
    if name == "cross-entropy":
        return F.cross_entropy(logits, y)
    return (F.mse_loss if name == "mse" else F.binary_cross_entropy_with_logits)(logits, target)


@pytest.mark.parametrize("name", CHOICES["loss"])
def test_the_mean_over_examples_is_torchs(name: str) -> None:
    found = compute_example_losses(name, LOGITS, LABELS)
    assert found.shape == (50,)
    torch.testing.assert_close(found.mean(), by_torch(name, LOGITS, LABELS))


@pytest.mark.parametrize("name", CHOICES["loss"])
def test_probabilities_lie_between_0_and_1_and_rank_as_the_logits_do(name: str) -> None:
    found = compute_probabilities(name, LOGITS)
    assert ((found >= 0) & (found <= 1)).all()
    best = LOGITS.argmax(1, keepdim=True)
    assert (found.gather(1, best) == found.max(1, keepdim=True).values).all()


def test_unlike_losses_side_by_side_are_validated_each_by_its_own(digits: PreparedDataset) -> None:
    data = DeviceData(load_splits(digits.training), dtype=torch.float64)
    specs = [TrialSpec(hidden=(8,), batch_size=64, loss=name) for name in ("mse", "bce")]
    group = create_group([*specs, TrialSpec(hidden=(8,), batch_size=64)], data)
    train_steps(group, 5)
    found = group.validate()
    raw = data.val_inputs / data.inv_std + data.mean
    for slot, trial in enumerate(group.trials):
        assert trial is not None
        model = MLP(trial.spec, data.classes, data.mean, data.inv_std, data.dtype).eval()
        model.load_state_dict(group.weights(slot, trial.spec), strict=False)
        expected = by_torch(trial.spec.loss, model(raw), data.val_labels)
        assert found.loss[slot] == pytest.approx(expected.item(), abs=1e-9)
