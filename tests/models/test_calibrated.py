"""The calibrated model: the network's predictions, the probabilities of its softmax, the export."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from harness.engine.class_metrics import normalize_probabilities
from harness.models.calibrated import CalibratedModel, compute_class_scores
from harness.trial import REGRESSION_LOSSES, Loss

LOSSES = [each for each in get_args(Loss) if each not in REGRESSION_LOSSES or each == "mse"]


@pytest.mark.parametrize("loss", LOSSES)
def test_at_temperature_1_the_probabilities_are_the_networks(loss: Loss) -> None:
    logits = torch.rand(50, 4, dtype=torch.float64)
    expected = normalize_probabilities(loss, logits)
    torch.testing.assert_close(compute_class_scores(loss, logits).softmax(1), expected)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [0.01, 1.0, 30.0])
def test_predictions_are_those_of_the_network(loss: Loss, size: float) -> None:
    """Also where all outputs are below 0 or above 1, which `mse` cuts off."""
    torch.manual_seed(0)
    logits = torch.cat([torch.randn(500, 5) * size + shift for shift in (-2, 0, 2)])
    model = CalibratedModel(nn.Identity(), loss, 1.7).eval()
    assert torch.equal(model(logits).argmax(1), logits.argmax(1))
    assert torch.isfinite(model(logits).softmax(1)).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_it_is_exported_for_any_batch_size(loss: Loss) -> None:
    model = CalibratedModel(nn.Linear(6, 3), loss, 0.4).eval()
    inputs = torch.randn(7, 6)
    with torch.no_grad():
        graph = torch.export.export(
            model, (inputs[:2],), dynamic_shapes=[{0: torch.export.Dim.AUTO}]
        ).module()
        torch.testing.assert_close(graph(inputs), model(inputs))
