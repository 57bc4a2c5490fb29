"""A program of K slots: the members in them train and are validated an epoch at a time."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from harness.engine import losses
from harness.engine.augmentation import Augment
from harness.engine.autograd import ModuleNetwork, ModuleParameters
from harness.engine.cuda_graph import captured
from harness.engine.device_data import Batches, DeviceData
from harness.engine.lr_schedules import learning_rates
from harness.engine.masks import Masks
from harness.engine.matmul import products_for
from harness.engine.network import Network
from harness.engine.optimizers import Optimizer, Rowwise, Vectorised, penalty
from harness.engine.padding import Layout
from harness.engine.parameter_buffer import Named, ParameterBuffer
from harness.engine.rng import as_int32
from harness.engine.trial_state import TrialState
from harness.stats.regression import fitted
from harness.trial import TrialSpec, derived_seed


class Trained(NamedTuple):
    """What an epoch of training measured, by slot."""

    loss: list[float]
    figures: list[dict[str, float]]
    """By the names of EpochMetrics."""
    learning_rate: list[float]
    """Of the last step."""


class Validated(NamedTuple):
    """What an epoch's validation measured, by slot."""

    loss: list[float]
    confusion: Tensor
    """[K, C, C], examples by [true][predicted]; [K, 0, 0] of a regression."""
    predictions: Tensor
    """[K, n] uint8; of a regression float32, in the target's own units."""
    figures: list[dict[str, float]]
    """By the names of EpochMetrics."""


class FusedGroup:
    """Members of equal batch size in the slots of one layout. Slots are filled between epochs."""

    def __init__(self, layout: Layout, data: DeviceData, vectorised: bool | None = None) -> None:
        self.layout, self.data = layout, data
        self.members: list[TrialState | None] = [None] * layout.slots
        self.steps = len(data) // layout.batch_size
        device, dtype = data.device, data.dtype
        if vectorised is None:
            vectorised = device.type == "cuda"
        lone = layout.slots == 1 and not vectorised
        self.switches = Masks(layout, data.classes, device, dtype)
        self.arena: ParameterBuffer | ModuleParameters
        self.network: Network | ModuleNetwork
        if layout.module is not None:
            self.arena = ModuleParameters(layout, layout.module, data)
            self.network = ModuleNetwork(self.arena, self.switches)
        else:
            self.arena = ParameterBuffer(layout, data.inputs, data.classes, device, dtype, lone)
            self.network = Network(self.arena, self.switches, products_for(self.arena))
        self.optimizer: Optimizer = (
            Vectorised(self.arena, self.steps) if vectorised else Rowwise(self.arena)
        )
        self._batches = Batches(data, layout.batch_size, layout.slots)
        self._step = torch.zeros(1, dtype=torch.int64, device=device)
        self._augment = None
        if layout.augments:
            black = -data.mean * data.inv_std
            size = layout.slots, layout.batch_size
            self._augment = Augment(layout.augments, *size, data.shape, black)
        self._loss = data.mean.new_zeros(layout.slots)
        self._correct = torch.zeros(layout.slots, dtype=torch.int64, device=device)
        # What a module does may not be captured, and autograd needs more than inference mode keeps.
        cuda = device.type == "cuda" and layout.module is None
        self._mode = torch.inference_mode if layout.module is None else torch.no_grad
        self._replay = captured(self._train_step, self._warm_up, device) if cuda else None

    def load(self, slot: int, member: TrialState) -> None:
        """Put a member into a slot, as it was when it last left one."""
        assert member.state is not None
        self.members[slot] = member
        self.switches.load(slot, member.spec)
        if self._augment is not None:
            self._augment.load(slot, member.spec)
        self.arena.load(slot, member.spec, member.state)
        self.optimizer.load(slot, member.spec, member.epochs * self.steps)
        member.state = None

    def unload(self, slot: int) -> TrialState:
        """Take a member out, to go on elsewhere."""
        member = self.members[slot]
        assert member is not None
        member.state = self.arena.unload(slot, member.spec)
        self.members[slot] = None
        return member

    def begin_epoch(self) -> Tensor:
        """Write what the epoch's steps read; returns the learning rates [steps, K]."""
        specs = [member.spec if member else None for member in self.members]
        epochs = [member.epochs + 1 if member else 0 for member in self.members]
        seeds = [spec.seed if spec else 0 for spec in specs]
        size = self.layout.batch_size
        self._batches.order.copy_(self.data.order(seeds, epochs, size))
        pairs = zip(specs, epochs, strict=True)
        rates = torch.stack([self._rates(spec, epoch) for spec, epoch in pairs], dim=1)
        self.optimizer.begin(rates)
        if isinstance(self.network, ModuleNetwork):
            self.network.begin(seeds[0], epochs[0])
        for what, random in (("dropout", self.network.dropout), ("augment", self._augment)):
            if random is not None:
                keys = [
                    as_int32(derived_seed(what, *pair)) for pair in zip(seeds, epochs, strict=True)
                ]
                written = torch.tensor(keys, dtype=torch.int32).view_as(random.epoch_keys)
                random.epoch_keys.copy_(written)
        for counter in (self._step, self._loss, self._correct):
            counter.zero_()
        return rates

    def train_epoch(self) -> Trained:
        """One pass over the training part, every member in its own order."""
        rates = self.begin_epoch()
        self.train_steps(self.steps)
        for member in self.members:
            if member is not None:
                member.epochs += 1
        seen = self.steps * self.layout.batch_size
        # The epoch's only wait for the device.
        loss, correct = (self._loss / self.steps).tolist(), self._correct.tolist()
        figures = [{"train_accuracy": hits / seen} for hits in correct]
        if self.data.regression:
            figures = [{"train_rmse": math.sqrt(each) * self.data.target_std} for each in loss]
        return Trained(loss, figures, rates[-1].tolist())

    def train_steps(self, count: int) -> None:
        """The next steps of the epoch that was begun; on a GPU they are only launched."""
        step = self._replay or self._train_step
        with self._mode():  # inference mode: 5 % of a small step, no autograd bookkeeping at all
            for _ in range(count):
                step()

    def _warm_up(self) -> None:
        self._step.zero_()  # an epoch may have fewer steps than there are warm-ups
        self._train_step()

    def _train_step(self) -> None:
        x, y = self._batches.at(self._step)
        if self._augment is not None:
            x = self._augment(x, self._step)
        if self.network.dropout is not None:
            self.network.dropout.step(self._step)
        loss, correct = self.network.gradients(x, y)
        self._loss += loss
        self._correct += correct
        self.optimizer.step(self._step)
        self._step += 1

    def _rates(self, spec: TrialSpec | None, epoch: int) -> Tensor:
        if spec is None:
            return torch.zeros(self.steps, dtype=torch.float64)
        return learning_rates(spec, (epoch - 1) * self.steps, self.steps, spec.epochs * self.steps)

    def validate(self) -> Validated:
        """Every slot's mean loss, confusion matrix and predictions on the validation part."""
        with self._mode():
            return self._validate()

    def _validate(self) -> Validated:
        slots, classes = self.layout.slots, self.data.classes
        loss = self._loss.new_zeros(slots)
        names = list(self.switches.loss)
        predictions = []
        for x, y in self.data.validation(slots):
            logits = self.network.logits(x)  # [B, K, C]
            true = y.unsqueeze(1).expand(-1, slots)
            mine = losses.of_examples(names[0], logits, true).sum(0)
            for name in names[1:]:
                other = losses.of_examples(name, logits, true).sum(0)
                mine = torch.where(self.switches.loss[name][0, :, 0], other, mine)
            loss += mine
            predictions.append(logits[..., 0] if self.data.regression else logits.argmax(2))
        predicted = torch.cat(predictions)  # [n, K]
        mean_loss = (loss / len(predicted)).tolist()
        if self.data.regression:
            units = (predicted * self.data.target_std + self.data.target_mean).t().float()
            figures = [fitted(said, self.data.val_targets) for said in units.cpu()]
            named = [{f"val_{name}": value for name, value in each.items()} for each in figures]
            return Validated(mean_loss, units.new_empty(slots, 0, 0), units, named)
        slot = torch.arange(slots, device=loss.device)
        cells = (slot * classes + self.data.val_labels.unsqueeze(1)) * classes + predicted
        counts = torch.bincount(cells.flatten(), minlength=slots * classes**2)
        confusion = counts.view(slots, classes, classes)
        hits = confusion.diagonal(dim1=1, dim2=2).sum(1).tolist()
        accuracies = [{"val_accuracy": hit / len(predicted)} for hit in hits]
        return Validated(mean_loss, confusion, predicted.t().to(torch.uint8), accuracies)

    def penalty(self, slot: int, spec: TrialSpec) -> float:
        return penalty(spec, self.arena.params[slot])

    def weights(self, slot: int, spec: TrialSpec) -> Named:
        """Copies, by the names of `MLP`'s state dict."""
        return self.arena.weights(slot, spec)
