"""What is minimised: each loss and its gradient, members with unlike losses side by side.

All are means over the examples, and over the classes where each class has a part of its own:

cross-entropy  of softmax(logits), as torch.nn.functional.cross_entropy
mse            of the logits to the one-hot target, as mse_loss; of a regression to the
               standardised target: whoever gives y as floats has one
bce            of sigmoid(logits), each class against the others, as
               binary_cross_entropy_with_logits
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.engine.masks import Masks
from harness.trial import Loss


def with_gradient(
    logits: Tensor, y: Tensor, switches: Masks, smoothing: bool
) -> tuple[Tensor, Tensor]:
    """Each member's mean loss [K] and d loss / d logits [B, K, C]; logits [B, K, C], y [B, K].

    `smoothing` says whether any member's targets are smoothed.
    """
    loss, dz = None, None
    for name, chosen in switches.loss.items():
        if name == "cross-entropy":
            mine, gradient = _cross_entropy(logits, y, switches, smoothing)
        else:
            mine, gradient = _by_class(name, logits, _targets(logits, y, switches))
        if loss is None or dz is None:
            loss, dz = mine, gradient
        else:
            loss = torch.where(chosen[0, :, 0], mine, loss)
            dz = torch.where(chosen, gradient, dz)
    assert loss is not None
    assert dz is not None
    return loss, dz


def of_examples(name: Loss, logits: Tensor, y: Tensor) -> Tensor:
    """The loss of each example, without smoothing: logits [..., C], y [...] to [...]."""
    if y.is_floating_point():
        return (logits - y.unsqueeze(-1)).square_().mean(-1)
    if name == "cross-entropy":
        return -torch.log_softmax(logits, -1).gather(-1, y.unsqueeze(-1)).squeeze(-1)
    target = torch.zeros_like(logits).scatter_(-1, y.unsqueeze(-1), 1.0)
    if name == "mse":
        return (logits - target).square_().mean(-1)
    return (F.softplus(logits) - target * logits).mean(-1)


def probabilities(name: Loss, logits: Tensor) -> Tensor:
    """What a model trained by this loss takes for the probability of each class."""
    if name == "cross-entropy":
        return logits.softmax(-1)
    return logits.sigmoid() if name == "bce" else logits.clamp(0, 1)


def _cross_entropy(
    logits: Tensor, y: Tensor, switches: Masks, smoothing: bool
) -> tuple[Tensor, Tensor]:
    log_p, true = torch.log_softmax(logits, 2), y.unsqueeze(2)
    of_target = log_p.gather(2, true)
    if smoothing:
        of_target *= switches.true_weight
        of_target += (log_p * switches.every_weight).sum(2, keepdim=True)
    loss = of_target.mean((0, 2)).neg_()
    dz = log_p.exp_()  # (softmax - target) / B
    dz.scatter_add_(2, true, switches.minus_true_weight.expand(true.shape))
    if smoothing:
        dz -= switches.every_weight
    dz *= 1 / len(logits)
    return loss, dz


def _by_class(name: str, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    parts = len(logits) * logits.shape[2]
    if name == "mse":
        off = logits - target
        return off.square().mean((0, 2)), off.mul_(2 / parts)
    loss = (F.softplus(logits) - target * logits).mean((0, 2))
    return loss, (logits.sigmoid() - target).mul_(1 / parts)


def _targets(logits: Tensor, y: Tensor, switches: Masks) -> Tensor:
    """One-hot, smoothed; [B, K, C]. A regression's as they are, [B, K, 1]."""
    if y.is_floating_point():
        return y.unsqueeze(2)
    target = switches.every_weight.expand(logits.shape).clone()
    true = y.unsqueeze(2)
    return target.scatter_add_(2, true, switches.true_weight.expand(true.shape))
