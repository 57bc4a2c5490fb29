"""A classifier whose probabilities are scaled by a temperature."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from harness.models.ensemble import MIN_PROBABILITY
from harness.trial import Loss

CALIBRATED_LOSS: Loss = "cross-entropy"
"""The loss whose logits the output of a calibrated model is."""


class CalibratedModel(nn.Module):
    """A network with a temperature; the softmax of its output is the calibrated probabilities.

    Input as that of the network. The predicted class is the network's, because the scores are in
    the order of its outputs.
    """

    def __init__(self, model: nn.Module, loss: Loss, temperature: float) -> None:
        super().__init__()
        self.model, self.loss, self.temperature = model, loss, temperature
        self.is_regression = False

    def forward(self, x: Tensor) -> Tensor:
        return compute_class_scores(self.loss, self.model(x)) / self.temperature


def compute_class_scores(loss: Loss, logits: Tensor) -> Tensor:
    """Return logarithms of probabilities [B, C], up to a constant, in the order of `logits`.

    Their softmax is the probabilities of a network that was trained with this loss; for `mse` up to
    what is cut off below 0 and above 1, where equal values would lose the order.
    """
    if loss == "bce":
        return F.logsigmoid(logits)
    if loss == "mse":
        below = (logits - MIN_PROBABILITY).clamp(max=0)
        return logits.clamp(min=MIN_PROBABILITY).log() + below
    return logits
