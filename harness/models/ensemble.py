"""An ensemble of trained networks as one torch module, which loads and is served like any other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.models.normalization import NormalizedModel
from harness.trial import Loss

MIN_PROBABILITY = 1e-6
"""The smallest probability that an output of a network trained by `mse` counts as."""


class Ensemble(nn.Module):
    """The weighted mean of several networks, each with its own architecture and loss.

    Input as that of each member. For classes the output [B, C] is the logarithm of the weighted
    mean of the members' probabilities, so that its softmax is that mean; for a regression it is the
    weighted mean [B, 1] of their outputs, in the target's units.
    """

    def __init__(
        self, members: Sequence[NormalizedModel], losses: Sequence[Loss], weights: Sequence[float]
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.losses = tuple(losses)
        self.is_regression = members[0].is_regression
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))

    def compute_target_errors(self, predicted: Tensor, true: Tensor) -> Tensor:
        """Return the errors [B] of a regression on the scale of the first member's target."""
        first = self.members[0]
        assert isinstance(first, NormalizedModel)
        return first.compute_target_errors(predicted, true)

    def forward(self, x: Tensor) -> Tensor:
        if self.is_regression:
            values = torch.stack([member(x) for member in self.members], -1)
            return (values * self.weights).sum(-1)
        parts = [
            compute_log_probabilities(loss, member(x))
            for member, loss in zip(self.members, self.losses, strict=True)
        ]
        return torch.logsumexp(torch.stack(parts, -1) + self.weights.log(), -1)


def average_models(models: Sequence[nn.Module], loss: Loss) -> Ensemble:
    """Return the mean of networks that were trained with the same loss, in eval mode."""
    members = [model for model in models if isinstance(model, NormalizedModel)]
    weights = [1 / len(members)] * len(members)
    return Ensemble(members, [loss] * len(members), weights).eval()


def get_output_loss(model: nn.Module, loss: Loss) -> Loss:
    """Return the loss whose logits a model gives that was trained with `loss`.

    Those of an ensemble are logarithms of probabilities, whatever its members were trained with.
    """
    is_classifier = isinstance(model, Ensemble) and not model.is_regression
    return "cross-entropy" if is_classifier else loss


def compute_log_probabilities(loss: Loss, logits: Tensor) -> Tensor:
    """Return log-probabilities [B, C] that add up to 1, of the logits of a network.

    Those of `bce` and `mse` are `harness.engine.losses.compute_probabilities` over their sum.
    """
    if loss == "bce":
        logits = F.logsigmoid(logits)
    elif loss == "mse":
        logits = logits.clamp(MIN_PROBABILITY, 1).log()
    return logits.log_softmax(-1)
