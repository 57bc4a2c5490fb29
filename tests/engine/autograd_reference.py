"""The same training by torch.nn and torch.optim under autograd, which the engine is held to."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch.optim import lr_scheduler

from harness.engine.augmentation import Augment
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.padding import Layout
from harness.engine.rng import as_int32
from harness.engine.trial_state import TrialState
from harness.models.mlp import MLP
from harness.trial import TrialSpec, derived_seed

STEPS = 100


@dataclass
class Trained:
    """A model and the loss of each of its steps."""

    model: MLP
    losses: list[float]


@functools.lru_cache(maxsize=32)
def by_autograd(spec: TrialSpec, data: DeviceData, steps: int = STEPS) -> Trained:
    model = MLP(spec, data.classes, data.mean.cpu(), data.inv_std.cpu(), data.dtype)
    model = model.to(data.device).train()
    parameters = list(model.parameters())
    optimizer = optimizer_of(spec, parameters)
    schedule = schedule_of(spec, optimizer, spec.epochs * (len(data) // spec.batch_size))
    losses = []
    batches = (
        rows
        for epoch in itertools.count(1)
        for rows in data.order([spec.seed], [epoch], spec.batch_size)
    )
    for step, rows in enumerate(itertools.islice(batches, steps)):
        x, y = data.images[rows[:, 0]], data.labels[rows[:, 0]]
        if spec.augment:
            x = augmented(spec, data, x, step)
        loss = loss_of(spec, model(x), y)
        penalty = spec.l1 * sum(p.abs().sum() for p in parameters)
        penalty += spec.l2 * sum(p.square().sum() for p in parameters)
        optimizer.zero_grad()
        (loss + penalty).backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return Trained(model, losses)


def augmented(spec: TrialSpec, data: DeviceData, x: torch.Tensor, step: int) -> torch.Tensor:
    """Raw pictures as the engine would see them in a step, counted from the first epoch's."""
    epoch, step = divmod(step, len(data) // spec.batch_size)
    made = Augment(spec.augment, 1, len(x), data.shape, -data.mean * data.inv_std)
    made.load(0, spec)
    made.epoch_keys.fill_(as_int32(derived_seed("augment", spec.seed, epoch + 1)))
    normal = ((x.to(data.dtype) - data.mean) * data.inv_std).unsqueeze(1)
    return made(normal, torch.tensor([step])).squeeze(1) / data.inv_std + data.mean


def loss_of(spec: TrialSpec, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if y.is_floating_point():
        return F.mse_loss(logits[:, 0], y)
    if spec.loss == "cross-entropy":
        return F.cross_entropy(logits, y, label_smoothing=spec.label_smoothing)
    smoothing, classes = spec.label_smoothing, logits.shape[1]
    target = F.one_hot(y, classes).to(logits) * (1 - smoothing) + smoothing / classes
    if spec.loss == "mse":
        return F.mse_loss(logits, target)
    return F.binary_cross_entropy_with_logits(logits, target)


def optimizer_of(spec: TrialSpec, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    if spec.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=spec.learning_rate)
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=spec.learning_rate, weight_decay=spec.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=spec.learning_rate,
        momentum=spec.momentum,
        nesterov=spec.nesterov and spec.momentum > 0,
    )


def schedule_of(
    spec: TrialSpec, optimizer: torch.optim.Optimizer, steps: int
) -> lr_scheduler.LRScheduler:
    if spec.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, steps)
    if spec.schedule == "one-cycle":
        return lr_scheduler.OneCycleLR(
            optimizer, spec.learning_rate, total_steps=steps, cycle_momentum=False
        )
    if spec.schedule == "step":
        return lr_scheduler.MultiStepLR(optimizer, [steps // 2, 3 * steps // 4])
    return lr_scheduler.ConstantLR(optimizer, factor=1.0)


def losses_of(cell: FusedGroup, steps: int = STEPS) -> list[list[float]]:
    """Train a cell's members so many steps: [steps][K]. Their epochs end where the data does."""
    losses = []
    for step in range(steps):
        if step % cell.steps == 0:
            if step:
                for member in filter(None, cell.members):
                    member.epochs += 1
            cell.begin_epoch()
        cell._loss.zero_()
        cell._train_step()
        losses.append(cell._loss.tolist())
    return losses


def check(cell: FusedGroup, losses: Sequence[Sequence[float]], data: DeviceData) -> None:
    """Every member's losses equal autograd's to 1e-12 and its weights to 1e-9; the padding is 0."""
    for slot, member in enumerate(cell.members):
        if member is None:
            continue
        expected = by_autograd(member.spec, data, len(losses))
        assert [row[slot] for row in losses] == pytest.approx(expected.losses, rel=0, abs=1e-12)
        weights = cell.weights(slot, member.spec)
        named = dict(expected.model.named_parameters()) | {
            name: buffer for name, buffer in expected.model.named_buffers() if "running" in name
        }
        assert weights.keys() == named.keys()
        for name, tensor in named.items():
            torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-9)
    check_padding(cell)


def check_padding(cell: FusedGroup) -> None:
    """What no member uses is exactly zero, in the parameters and in both moments."""
    arena = cell.arena
    for views, flat in (
        (arena.param, arena.params),
        (arena.first, arena.first_moment),
        (arena.second, arena.second_moment),
    ):
        for slot, member in enumerate(cell.members):
            if member is None:
                continue
            row = flat[slot].clone()
            for own in arena._cut(views, slot, member.spec).values():
                own.zero_()
            assert not flat[slot].any(), f"slot {slot}, {member.spec}"
            flat[slot] = row


def cell_of(
    specs: Sequence[TrialSpec],
    data: DeviceData,
    vectorised: bool = False,
    layout: Layout | None = None,
) -> FusedGroup:
    """The specs' trials, deepest first, in a cell of their own."""
    members = sorted(
        (TrialState.fresh(str(index), spec, data) for index, spec in enumerate(specs)),
        key=lambda member: -len(member.spec.hidden),
    )
    layout = layout or Layout.tight([member.spec for member in members])
    cell = FusedGroup(layout, data, vectorised)
    for slot, member in enumerate(members, start=layout.slots - len(members)):
        cell.load(slot, member)
    return cell
