"""The ensemble as one torch module: the mean of its members, also after the export."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from harness.engine.losses import compute_probabilities
from harness.models.ensemble import Ensemble
from harness.models.mlp import MLP, build_model
from harness.models.normalization import NormalizedModel
from harness.trial import Loss, TargetTransform, TrialSpec

WEIGHTS = [0.5, 0.3, 0.2]
LOSSES: tuple[Loss, ...] = ("cross-entropy", "mse", "bce")


def make_members(classes: int, target: TargetTransform | None = None) -> list[NormalizedModel]:
    mean, inv_std = torch.linspace(-1, 1, 6), torch.linspace(0.5, 2, 6)
    specs = [
        TrialSpec(hidden=(7,), seed=1),
        TrialSpec(hidden=(5, 4), batch_norm="before", activation="gelu", seed=2),
        TrialSpec(hidden=(), seed=3),
    ]
    members = [build_model(spec, classes, mean, inv_std, target=target).eval() for spec in specs]
    assert isinstance(members[0], MLP)
    return list(members)


@pytest.mark.parametrize("losses", [("cross-entropy",) * 3, LOSSES])
def test_its_softmax_is_the_mean_of_the_probabilities(losses: tuple[Loss, ...]) -> None:
    members = make_members(4)
    model = Ensemble(members, losses, WEIGHTS).eval()
    inputs = torch.randn(9, 6) * 3
    expected = torch.zeros(9, 4)
    for member, loss, weight in zip(members, losses, WEIGHTS, strict=True):
        probabilities = compute_probabilities(loss, member(inputs)).clamp(1e-6)
        expected += weight * probabilities / probabilities.sum(1, keepdim=True)
    torch.testing.assert_close(model(inputs).softmax(1), expected)
    torch.testing.assert_close(export(model)(inputs), model(inputs))


def test_a_regression_is_the_mean_in_the_targets_units() -> None:
    members = make_members(1, target="standard")
    for member in members:
        member.target_mean.fill_(300)  # type: ignore[operator,union-attr]
        member.target_std.fill_(40)  # type: ignore[operator,union-attr]
    model = Ensemble(members, ["mse"] * 3, WEIGHTS).eval()
    inputs = torch.randn(9, 6)
    outputs = [weight * member(inputs) for member, weight in zip(members, WEIGHTS, strict=True)]
    expected = torch.stack(outputs).sum(0)
    assert model(inputs).shape == (9, 1)
    torch.testing.assert_close(model(inputs), expected)
    torch.testing.assert_close(export(model)(inputs), expected)
    errors = model.compute_target_errors(torch.tensor([380.0]), torch.tensor([300.0]))
    assert errors.tolist() == [2]


def test_probabilities_near_0_stay_finite() -> None:
    members = make_members(3)
    model = Ensemble(members, LOSSES, WEIGHTS).eval()
    assert torch.isfinite(model(torch.full((2, 6), 1e4))).all()


def export(model: Ensemble) -> torch.nn.Module:
    """Export for any batch size, as the registry does."""
    batch = {0: torch.export.Dim.AUTO}
    example: Tensor = torch.zeros(2, 6)
    with torch.no_grad():
        return torch.export.export(model, (example,), dynamic_shapes=[batch]).module()
