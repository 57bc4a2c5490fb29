"""The reference for the engine: the same training by torch.nn and torch.optim under autograd."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.optim import lr_scheduler

from harness.engine.augmentation import Augmentation
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.padding import Layout
from harness.engine.rng import Dropout, dropout_threshold, wrap_int32
from harness.engine.trial_state import TrialState
from harness.models.mlp import MLP
from harness.trial import TrialSpec, derive_seed

STEPS = 40


@dataclass
class ReferenceRun:
    """A trained model and the loss of each of its steps."""

    model: MLP
    losses: list[float]


@functools.lru_cache(maxsize=32)
def train_by_autograd(spec: TrialSpec, data: DeviceData, steps: int = STEPS) -> ReferenceRun:
    """Train the first `steps` steps of a trial."""
    model = MLP(spec, data.classes, data.mean.cpu(), data.inv_std.cpu(), data.dtype)
    dropout = HashedDropout(spec, data.device) if spec.dropout else None
    model.dropout = dropout or model.dropout
    model = model.to(data.device).train()
    parameters = list(model.parameters())
    optimizer = build_optimizer(spec, parameters)
    steps_per_epoch = len(data) // spec.batch_size
    schedule = build_schedule(spec, optimizer, spec.epochs * steps_per_epoch)
    losses = []
    labels = data.get_target(spec.target_transform).labels
    weights = compute_class_weights(data) if spec.class_weights == "balanced" else None
    batches = (
        (epoch, step, rows[:, 0])
        for epoch in itertools.count(1)
        for step, rows in enumerate(data.batch_order([spec.seed], [epoch], spec.batch_size))
    )
    for epoch, step, rows in itertools.islice(batches, steps):
        x, y = data.examples[rows], labels[rows]
        if spec.augment:
            x = augment_batch(spec, data, x, epoch, step)
        if dropout is not None:
            dropout.set_step(epoch, step)
        loss = compute_loss(spec, model(x), y, weights)
        penalty = spec.l1 * sum(p.abs().sum() for p in parameters)
        penalty += spec.l2 * sum(p.square().sum() for p in parameters)
        optimizer.zero_grad()
        (loss + penalty).backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return ReferenceRun(model, losses)


def epoch_key(use: str, spec: TrialSpec, epoch: int) -> int:
    """Return the engine's key of an epoch's random numbers for `dropout` or `augment`."""
    return wrap_int32(derive_seed(use, spec.seed, epoch))


def augment_batch(
    spec: TrialSpec, data: DeviceData, x: torch.Tensor, epoch: int, step: int
) -> torch.Tensor:
    """Augment raw images [B, D] as the engine does in a step of an epoch."""
    augmentation = Augmentation(spec.augment, 1, len(x), data.shape, -data.mean * data.inv_std)
    augmentation.load(0, spec)
    augmentation.epoch_keys.fill_(epoch_key("augment", spec, epoch))
    normalized = ((x.to(data.dtype) - data.mean) * data.inv_std).unsqueeze(1)
    augmented = augmentation(normalized, torch.tensor([step])).squeeze(1)
    return augmented / data.inv_std + data.mean


class HashedDropout(nn.Module):
    """Dropout with the engine's masks in place of nn.Dropout; one call a hidden layer."""

    def __init__(self, spec: TrialSpec, device: torch.device) -> None:
        super().__init__()
        self.spec, self.layer = spec, 0
        self.masks = Dropout(1, spec.batch_size, max(spec.hidden, default=0), device)
        threshold = dropout_threshold(spec.dropout)
        self.threshold = torch.full((1, 1, 1), threshold, dtype=torch.int32, device=device)

    def set_step(self, epoch: int, step: int) -> None:
        self.masks.epoch_keys.fill_(epoch_key("dropout", self.spec, epoch))
        self.masks.set_step(torch.tensor([step], device=self.threshold.device))
        self.layer = 0

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        keep = self.masks.keep_mask(self.layer, self.threshold, h.shape[1])[:, 0]
        self.layer += 1
        return h * keep / (1 - self.spec.dropout)


def compute_class_weights(data: DeviceData) -> torch.Tensor:
    """Return scikit-learn's balanced weights of the classes in the training set, [C]."""
    labels = data.labels[data.rows].cpu().numpy()
    present = np.unique(labels)
    weights = torch.zeros(data.classes, dtype=data.dtype)
    values = compute_class_weight("balanced", classes=present, y=labels)
    weights[present] = torch.from_numpy(values).to(data.dtype)
    return weights.to(data.device)


def compute_loss(
    spec: TrialSpec, logits: torch.Tensor, y: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    if y.is_floating_point():
        if spec.loss == "quantile":
            error = y - logits[:, 0]
            return torch.maximum(spec.quantile * error, (spec.quantile - 1) * error).mean()
        return F.mse_loss(logits[:, 0], y)
    if spec.loss == "cross-entropy":
        return F.cross_entropy(logits, y, weights, label_smoothing=spec.label_smoothing)
    smoothing, classes = spec.label_smoothing, logits.shape[1]
    target = F.one_hot(y, classes).to(logits) * (1 - smoothing) + smoothing / classes
    if weights is None:
        compute = F.mse_loss if spec.loss == "mse" else F.binary_cross_entropy_with_logits
        return compute(logits, target)
    by_example = weights[y].unsqueeze(1).expand_as(target)
    if spec.loss == "mse":
        return F.mse_loss(logits, target, weight=by_example)
    summed = F.binary_cross_entropy_with_logits(logits, target, by_example, reduction="sum")
    return summed / by_example.sum()


def build_optimizer(spec: TrialSpec, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    if spec.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=spec.learning_rate, betas=(0.9, spec.beta2))
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters,
            lr=spec.learning_rate,
            betas=(0.9, spec.beta2),
            weight_decay=spec.weight_decay,
        )
    return torch.optim.SGD(
        parameters,
        lr=spec.learning_rate,
        momentum=spec.momentum,
        nesterov=spec.nesterov and spec.momentum > 0,
    )


def build_schedule(
    spec: TrialSpec, optimizer: torch.optim.Optimizer, steps: int
) -> lr_scheduler.LRScheduler:
    if spec.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, steps)
    if spec.schedule == "one-cycle":
        return lr_scheduler.OneCycleLR(
            optimizer, spec.learning_rate, total_steps=steps, cycle_momentum=False
        )
    if spec.schedule == "coslog4":  # RealMLP's formula
        return lr_scheduler.LambdaLR(
            optimizer, lambda k: 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * k / steps)))
        )
    if spec.schedule == "flat-cosine":
        half = steps // 2
        constant = lr_scheduler.ConstantLR(optimizer, 1.0)
        cosine = lr_scheduler.CosineAnnealingLR(optimizer, steps - half)
        return lr_scheduler.SequentialLR(optimizer, [constant, cosine], [half])
    if spec.schedule == "step":
        return lr_scheduler.MultiStepLR(optimizer, [steps // 2, 3 * steps // 4])
    return lr_scheduler.ConstantLR(optimizer, factor=1.0)


def train_steps(group: FusedGroup, steps: int = STEPS) -> list[list[float]]:
    """Train a group for so many steps, over as many epochs as that takes; return [steps][K]."""
    losses = []
    for step in range(steps):
        if step % group.steps == 0:
            if step:
                for trial in filter(None, group.trials):
                    trial.epochs += 1
            group.begin_epoch()
        group._loss.zero_()
        group._train_step()
        losses.append(group._loss.tolist())
    return losses


def assert_equals_autograd(
    group: FusedGroup, losses: Sequence[Sequence[float]], data: DeviceData
) -> None:
    """Check every trial's losses to 1e-12, its weights to 1e-9, and that the padding is zero."""
    for slot, trial in enumerate(group.trials):
        if trial is None:
            continue
        expected = train_by_autograd(trial.spec, data, len(losses))
        assert [row[slot] for row in losses] == pytest.approx(expected.losses, rel=0, abs=1e-12)
        weights = group.weights(slot, trial.spec)
        named = dict(expected.model.named_parameters()) | {
            name: buffer for name, buffer in expected.model.named_buffers() if "running" in name
        }
        assert weights.keys() == named.keys()
        for name, tensor in named.items():
            torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-9)
    assert_padding_is_zero(group)


def assert_padding_is_zero(group: FusedGroup) -> None:
    """Check that unused parameters and moments are exactly zero."""
    buffer = group.buffer
    for views, flat in (
        (buffer.param_views, buffer.params),
        (buffer.first_views, buffer.first_moment),
        (buffer.second_views, buffer.second_moment),
    ):
        for slot, trial in enumerate(group.trials):
            if trial is None:
                continue
            row = flat[slot].clone()
            for view in buffer._slice_slot(views, slot, trial.spec).values():
                view.zero_()
            assert not flat[slot].any(), f"slot {slot}, {trial.spec}"
            flat[slot] = row


def create_group(
    specs: Sequence[TrialSpec],
    data: DeviceData,
    vectorised: bool = False,
    layout: Layout | None = None,
) -> FusedGroup:
    """Create a group of these trials, deepest first."""
    trials = sorted(
        (TrialState.create(str(index), spec, data) for index, spec in enumerate(specs)),
        key=lambda trial: -len(trial.spec.hidden),
    )
    layout = layout or Layout.tight([trial.spec for trial in trials])
    group = FusedGroup(layout, data, vectorised)
    for slot, trial in enumerate(trials, start=layout.slots - len(trials)):
        group.load(slot, trial)
    return group
