"""The losses and their gradients, for slots with different losses at once.

Each is a mean over the examples; mse and bce are means over the classes too:

cross-entropy  of softmax(logits), as torch.nn.functional.cross_entropy
mse            of the logits to the one-hot target, as mse_loss; for a regression, of the output to
               the transformed target. Floating-point targets y mean a regression
bce            of sigmoid(logits), each class against the others, as
               binary_cross_entropy_with_logits
quantile       for a regression: the pinball loss of the output to the transformed target, as
               scikit-learn's mean_pinball_loss; its minimum is the quantile of level q

With class weights w, the loss of a batch is the weighted mean over its examples i of class y[i],
sum(w[y[i]] * loss[i]) / sum(w[y[i]]), for every loss. With label smoothing, cross-entropy weights
each class of the target by its own weight. Both are torch's convention for cross_entropy(weight=w);
binary_cross_entropy_with_logits(weight=) itself does not divide by the sum of the weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.engine.masks import Masks
from harness.models.target_transform import to_target_units
from harness.trial import Loss


def compute_loss_and_gradient(
    logits: Tensor, y: Tensor, masks: Masks, smoothing: bool
) -> tuple[Tensor, Tensor]:
    """Return each slot's mean loss [K] and its gradient d loss / d logits [B, K, C].

    logits are [B, K, C], y is [B, K]; `smoothing` is whether any slot has label smoothing.
    """
    loss, dz = None, None
    shares = None if masks.class_weight is None else _compute_shares(masks.class_weight, y)
    for name, mask in masks.loss.items():
        if name == "quantile":
            new_loss, new_dz = _quantile_loss(logits, y, masks)
        elif name != "cross-entropy":
            new_loss, new_dz = _per_class_loss(name, logits, _targets(logits, y, masks), shares)
        elif shares is None:
            new_loss, new_dz = _cross_entropy(logits, y, masks, smoothing)
        else:
            new_loss, new_dz = _weighted_cross_entropy(logits, y, masks)
        if loss is None or dz is None:
            loss, dz = new_loss, new_dz
        else:
            loss = torch.where(mask[0, :, 0], new_loss, loss)
            dz = torch.where(mask, new_dz, dz)
    assert loss is not None
    assert dz is not None
    return loss, dz


def measure_batch(logits: Tensor, y: Tensor, masks: Masks) -> Tensor:
    """Return whether each prediction is correct, bool [B, K].

    Of a regression, the squared errors in the target's own units, float64 [B, K]; [0, K] for the
    transform `standard`, whose loss is proportional to them.
    """
    if not y.is_floating_point():
        return logits.argmax(2) == y
    if masks.target is None:
        return y.new_empty(0, y.shape[1], dtype=torch.bool)
    name, statistics = masks.target
    predicted, true = (to_target_units(name, each, statistics) for each in (logits[..., 0], y))
    return (predicted.double() - true).square_()


def compute_example_losses(
    name: Loss, logits: Tensor, y: Tensor, quantile: Tensor | None = None
) -> Tensor:
    """Return the loss of each example, without smoothing: logits [..., C], y [...] to [...].

    `quantile` is the level of the loss of this name, of a shape that broadcasts with y.
    """
    if name == "quantile":
        assert quantile is not None
        return compute_pinball_losses(logits.squeeze(-1), y, quantile)
    if y.is_floating_point():
        return (logits - y.unsqueeze(-1)).square_().mean(-1)
    if name == "cross-entropy":
        return -torch.log_softmax(logits, -1).gather(-1, y.unsqueeze(-1)).squeeze(-1)
    target = torch.zeros_like(logits).scatter_(-1, y.unsqueeze(-1), 1.0)
    if name == "mse":
        return (logits - target).square_().mean(-1)
    return (F.softplus(logits) - target * logits).mean(-1)


def compute_pinball_losses(predicted: Tensor, y: Tensor, quantile: Tensor) -> Tensor:
    """Return q * error where the target is above the prediction, else (q - 1) * error."""
    error = y - predicted
    return torch.maximum(quantile * error, (quantile - 1) * error)


def compute_probabilities(name: Loss, logits: Tensor) -> Tensor:
    """Return the class probabilities that logits of a model trained by this loss stand for."""
    if name == "cross-entropy":
        return logits.softmax(-1)
    return logits.sigmoid() if name == "bce" else logits.clamp(0, 1)


def _cross_entropy(
    logits: Tensor, y: Tensor, masks: Masks, smoothing: bool
) -> tuple[Tensor, Tensor]:
    log_p, true = torch.log_softmax(logits, 2), y.unsqueeze(2)
    target_log_p = log_p.gather(2, true)
    if smoothing:
        target_log_p *= masks.true_weight
        target_log_p += (log_p * masks.uniform_weight).sum(2, keepdim=True)
    loss = target_log_p.sum((0, 2)).div_(masks.minus_examples)
    dz = log_p.exp_()  # (softmax - target) / B
    dz.scatter_add_(2, true, masks.minus_true_weight.expand(true.shape))
    if smoothing:
        dz -= masks.uniform_weight
    dz *= masks.per_example
    return loss, dz


def _weighted_cross_entropy(logits: Tensor, y: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
    assert masks.class_weight is not None
    total = _gather_weights(masks.class_weight, y).sum(0, keepdim=True)  # [1, K, 1]
    target = _targets(logits, y, masks) * (masks.class_weight / total)  # [B, K, C]
    log_p = torch.log_softmax(logits, 2)
    loss = (target * log_p).sum((0, 2)).neg_()
    return loss, log_p.exp_().mul_(target.sum(2, keepdim=True)).sub_(target)


def _gather_weights(class_weight: Tensor, y: Tensor) -> Tensor:
    """Return the weight of each example's class, [B, K, 1]."""
    return class_weight.expand(*y.shape, -1).gather(2, y.unsqueeze(2))


def _compute_shares(class_weight: Tensor, y: Tensor) -> Tensor:
    """Return each example's share of the batch's weight, [B, K, 1]."""
    weights = _gather_weights(class_weight, y)
    return weights / weights.sum(0, keepdim=True)


def _quantile_loss(logits: Tensor, y: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
    level = masks.quantile[0, :, 0]
    predicted = logits[..., 0]
    loss = compute_pinball_losses(predicted, y, level).mean(0)
    # As autograd's gradient of a maximum: half of both sides where the error is 0.
    above, below = (y > predicted).to(logits.dtype), (y < predicted).to(logits.dtype)
    slope = 0.5 * ((1 - level) * (1 + below - above) - level * (1 + above - below))
    return loss, (slope / len(logits)).unsqueeze(2)


def _per_class_loss(
    name: str, logits: Tensor, target: Tensor, shares: Tensor | None
) -> tuple[Tensor, Tensor]:
    if shares is not None:
        return _weighted_per_class_loss(name, logits, target, shares / logits.shape[2])
    terms = len(logits) * logits.shape[2]
    if name == "mse":
        error = logits - target
        return error.square().mean((0, 2)), error.mul_(2 / terms)
    loss = (F.softplus(logits) - target * logits).mean((0, 2))
    return loss, (logits.sigmoid() - target).mul_(1 / terms)


def _weighted_per_class_loss(
    name: str, logits: Tensor, target: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    if name == "mse":
        error = logits - target
        return (weights * error.square()).sum((0, 2)), error.mul_(2 * weights)
    loss = (weights * (F.softplus(logits) - target * logits)).sum((0, 2))
    return loss, (logits.sigmoid() - target).mul_(weights)


def _targets(logits: Tensor, y: Tensor, masks: Masks) -> Tensor:
    """Return smoothed one-hot targets [B, K, C]; of a regression the targets as [B, K, 1]."""
    if y.is_floating_point():
        return y.unsqueeze(2)
    target = masks.uniform_weight.expand(logits.shape).clone()
    true = y.unsqueeze(2)
    return target.scatter_add_(2, true, masks.true_weight.expand(true.shape))
