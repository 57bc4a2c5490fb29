"""The one training loop: epochs of training and validation, best epochs kept, stops honoured."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from harness.engine.arena import Arena
from harness.engine.network import Network
from harness.engine.optimizers import Optimizer, learning_rate
from harness.engine.resident import Resident
from harness.model import MLP
from harness.trial import (
    EpochMetrics,
    Objective,
    Outcome,
    Stopped,
    TrialFailure,
    TrialResult,
    TrialSpec,
    derived_seed,
)

Training = Generator[tuple[int, EpochMetrics], bool, list[Outcome]]
"""Yields (member, metrics) after each epoch and is sent whether the member goes on; returns an
outcome for each spec, in order."""

STRUCTURE = ("hidden", "activation", "batch_norm", "layer_biases", "batch_size")
"""What the members of a group must agree in."""


@dataclass
class Best:
    """A member's best epoch so far."""

    metrics: EpochMetrics
    state: dict[str, Tensor]
    confusion: Tensor
    predictions: Tensor


class Group:
    """K members of equal structure under training: their networks, optimiser and best epochs."""

    def __init__(self, specs: Sequence[TrialSpec], data: Resident) -> None:
        for name in STRUCTURE:
            if len({getattr(spec, name) for spec in specs}) > 1:
                raise ValueError(f"the members of a group must agree in {name}")
        if specs[0].batch_size > len(data):
            raise ValueError(
                f"batch_size {specs[0].batch_size} is more than the {len(data)} training examples"
            )
        self.specs, self.data = list(specs), data
        mean, inv_std = data.mean.cpu(), data.inv_std.cpu()
        models = [MLP(spec, data.classes, mean, inv_std, data.dtype) for spec in specs]
        self.arena = Arena(models, data.device)
        self.network = Network(self.specs, data.classes, self.arena)
        self.optimizer = Optimizer(self.specs, self.arena)
        self.best: list[Best | None] = [None for _ in specs]
        self.steps_per_epoch = len(data) // specs[0].batch_size

    def train_epoch(self, epoch: int) -> tuple[list[float], list[float]]:
        """One pass over the training part: each member's mean loss and accuracy."""
        members = len(self.specs)
        loss = self.arena.params.new_zeros(members)
        correct = torch.zeros(members, dtype=torch.int64, device=self.data.device)
        for spec, generator in zip(self.specs, self.network.generators, strict=True):
            generator.manual_seed(derived_seed("dropout", spec.seed, epoch))
        first = (epoch - 1) * self.steps_per_epoch
        for index, (x, y) in enumerate(self.data.batches(self.specs, epoch)):
            batch_loss, batch_correct = self.network.gradients(x, y)
            loss += batch_loss
            correct += batch_correct
            self.optimizer.step(self.learning_rates(first + index))
        seen = self.steps_per_epoch * self.specs[0].batch_size
        # The epoch's only wait for the device.
        return (loss / self.steps_per_epoch).tolist(), [n / seen for n in correct.tolist()]

    def learning_rates(self, step: int) -> list[float]:
        return [
            learning_rate(spec, step, spec.epochs * self.steps_per_epoch) for spec in self.specs
        ]

    def validate(self) -> tuple[list[float], Tensor, Tensor]:
        """Each member's mean loss, confusion matrices [K, C, C], predictions [K, n] as uint8."""
        members, classes = len(self.specs), self.data.classes
        loss = self.arena.params.new_zeros(members)
        predictions = []
        for x, y in self.data.validation(members):
            logits = self.network.logits(x)  # [B, K, C]
            true = y.view(-1, 1, 1).expand(-1, members, 1)
            loss -= torch.log_softmax(logits, 2).gather(2, true).sum((0, 2))
            predictions.append(logits.argmax(2))
        predicted = torch.cat(predictions)  # [n, K]
        cells = self.data.val_labels.unsqueeze(1) * classes + predicted
        confusion = torch.stack(
            [torch.bincount(cells[:, k], minlength=classes**2) for k in range(members)]
        ).view(members, classes, classes)
        examples = len(self.data.val_labels)
        return (loss / examples).tolist(), confusion, predicted.t().to(torch.uint8)


def train(specs: Sequence[TrialSpec], data: Resident, objective: Objective) -> Training:
    """Train a group of trials of equal structure; one trial is a group of one.

    A generator, so that whoever drives it decides when the next epoch starts and whether a member
    is pruned, without a callback. A member that diverges ends as a TrialFailure and touches no
    other. Raises ValueError for specs that cannot train together or on this data.
    """
    group = Group(specs, data)
    outcomes: list[Outcome | None] = [None for _ in specs]
    started = time.perf_counter()
    for epoch in range(1, max(spec.epochs for spec in specs) + 1):
        epoch_started = time.perf_counter()
        train_loss, train_accuracy = group.train_epoch(epoch)
        val_loss, confusion, predictions = group.validate()
        hits = confusion.diagonal(dim1=1, dim2=2).sum(1).tolist()
        penalties = group.optimizer.penalties()
        rates = group.learning_rates(epoch * group.steps_per_epoch - 1)
        seconds = time.perf_counter() - epoch_started
        for member in range(len(specs)):
            if outcomes[member] is not None:
                continue
            metrics = EpochMetrics(
                epoch=epoch,
                train_loss=train_loss[member],
                train_accuracy=train_accuracy[member],
                penalty=penalties[member],
                val_loss=val_loss[member],
                val_accuracy=hits[member] / len(data.val_labels),
                learning_rate=rates[member],
                seconds=seconds,
                time=time.time(),
            )
            diverged = divergence(metrics)
            if diverged:
                outcomes[member] = TrialFailure(reason=diverged)
                continue
            best = group.best[member]
            if best is None or improves(metrics, best.metrics, objective):
                state = group.arena.snapshot(member)
                best = Best(metrics, state, confusion[member], predictions[member])
                group.best[member] = best
            keep = yield member, metrics
            stopped = stop(specs[member], epoch, best, keep)
            if stopped:
                elapsed = time.perf_counter() - started
                outcomes[member] = result(group, best, epoch, stopped, elapsed)
        if all(outcome is not None for outcome in outcomes):
            break
    return [outcome for outcome in outcomes if outcome is not None]


def stop(spec: TrialSpec, epoch: int, best: Best, keep: bool) -> Stopped | None:
    """Why a member ends after this epoch, or None where it goes on."""
    if epoch == spec.epochs:
        return "finished"
    if not keep:
        return "pruned"
    if spec.patience and epoch - best.metrics.epoch >= spec.patience:
        return "early"
    return None


def divergence(metrics: EpochMetrics) -> str | None:
    for name in ("train_loss", "val_loss"):
        value = getattr(metrics, name)
        if not math.isfinite(value):
            return f"diverged: {name.replace('_', '/')} is {value} in epoch {metrics.epoch}"
    return None


def improves(metrics: EpochMetrics, best: EpochMetrics, objective: Objective) -> bool:
    """Strictly better: of equal epochs the first is kept."""
    now, before = metrics.objective(objective), best.objective(objective)
    return now > before if objective == "val/accuracy" else now < before


def result(group: Group, best: Best, epochs: int, stopped: Stopped, seconds: float) -> TrialResult:
    return TrialResult(
        best=best.metrics,
        epochs=epochs,
        stopped=stopped,
        parameters=group.arena.params.shape[1],
        seconds=seconds,
        confusion=tuple(tuple(row) for row in best.confusion.tolist()),
        predictions=best.predictions.cpu().numpy().tobytes(),
        weights=safetensors.torch.save(best.state),
    )
