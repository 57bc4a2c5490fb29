"""A fused group: K slots whose trials train and validate together, an epoch at a time."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from harness.engine import losses
from harness.engine.augmentation import Augmentation
from harness.engine.autograd import ModuleNetwork, ModuleParameters
from harness.engine.cuda_graph import capture_graph
from harness.engine.device_data import Batches, DeviceData
from harness.engine.lr_schedules import compute_learning_rates
from harness.engine.masks import Masks
from harness.engine.matmul import choose_matmul
from harness.engine.network import Network
from harness.engine.optimizers import Optimizer, Rowwise, Vectorised, compute_penalty
from harness.engine.padding import Layout
from harness.engine.parameter_buffer import NamedTensors, ParameterBuffer
from harness.engine.rng import wrap_int32
from harness.engine.slot_data import SlotData
from harness.engine.trial_state import TrialState
from harness.engine.validation import ValidationMetrics, measure_folds, measure_slots
from harness.trial import TrialSpec, derive_seed

COUNTED_STEPS = 256
"""Steps whose correct predictions are counted at once on a CPU."""


class TrainMetrics(NamedTuple):
    """What an epoch of training measured, one entry a slot."""

    loss: list[float]
    metrics: list[dict[str, float]]
    """By the names of EpochMetrics."""
    learning_rate: list[float]
    """The last step's."""


class FusedGroup:
    """Trials of one batch size in the slots of one layout.

    Slots are filled and emptied between epochs. An empty slot computes too; its results are
    ignored.
    """

    def __init__(
        self, layout: Layout, data: DeviceData | SlotData, vectorised: bool | None = None
    ) -> None:
        self.layout, self.data = layout, data
        self.trials: list[TrialState | None] = [None] * layout.slots
        self.steps = len(data) // layout.batch_size
        device, dtype = data.device, data.dtype
        if vectorised is None:
            vectorised = device.type == "cuda"
        is_single = layout.slots == 1 and not vectorised
        self.masks = Masks(layout, data.classes, device, dtype)
        self._target = data.get_target(layout.target_transform)
        if layout.target_transform != "standard":
            self.masks.target = layout.target_transform, self._target.statistics
        self.buffer: ParameterBuffer | ModuleParameters
        self.network: Network | ModuleNetwork
        if layout.module is not None:
            assert isinstance(data, DeviceData)
            self.buffer = ModuleParameters(layout, layout.module, data)
            self.network = ModuleNetwork(self.buffer, self.masks)
        else:
            self.buffer = ParameterBuffer(
                layout, data.inputs, data.classes, device, dtype, is_single
            )
            self.network = Network(self.buffer, self.masks, choose_matmul(self.buffer))
        self.optimizer: Optimizer = (
            Vectorised(self.buffer, self.steps) if vectorised else Rowwise(self.buffer)
        )
        self._batches = Batches(data, self._target.labels, layout.batch_size, layout.slots)
        self._step = torch.zeros(1, dtype=torch.int64, device=device)
        self._one = torch.ones_like(self._step)
        self._augmentation = None
        if layout.augmentations:
            black = -data.mean * data.inv_std
            size = layout.slots, layout.batch_size
            self._augmentation = Augmentation(layout.augmentations, *size, data.shape, black)
        self._loss = data.mean.new_zeros(layout.slots)
        counts = torch.int64 if self.masks.target is None else torch.float64
        self._correct = torch.zeros(layout.slots, dtype=counts, device=device)
        # Integers, so their sum does not depend on the order.
        self._counts_later = device.type == "cpu" and counts == torch.int64
        self._uncounted: list[Tensor] = []
        """Which predictions of the last steps were correct, bool [B, K] each."""
        # A custom model may not be capturable, and its autograd does not work in inference mode,
        # which saves 5 % of a small step.
        is_custom = layout.module is not None
        self._grad_mode = torch.no_grad if is_custom else torch.inference_mode
        captures = device.type == "cuda" and not is_custom
        self._replay = capture_graph(self._train_step, self._warm_up, device) if captures else None

    def load(self, slot: int, trial: TrialState) -> None:
        """Put a trial into a slot, in the state in which it left its last one."""
        assert trial.tensors is not None
        self.trials[slot] = trial
        is_balanced = trial.spec.class_weights == "balanced"
        self.masks.load(slot, trial.spec, trial.data.balanced_weights if is_balanced else None)
        if isinstance(self.data, SlotData):
            self.data.load(slot, trial)
        if self._augmentation is not None:
            black = -trial.data.mean * trial.data.inv_std
            self._augmentation.load(slot, trial.spec, black)
        self.buffer.load(slot, trial.spec, trial.tensors)
        self.optimizer.load(slot, trial.spec, trial.epochs * self.steps)
        trial.tensors = None

    def unload(self, slot: int) -> TrialState:
        """Take a trial out of its slot, to continue in another group."""
        trial = self.trials[slot]
        assert trial is not None
        trial.tensors = self.buffer.unload(slot, trial.spec)
        self.trials[slot] = None
        return trial

    def begin_epoch(self) -> Tensor:
        """Prepare the epoch's orders, keys and rates; return the learning rates [steps, K]."""
        specs = [trial.spec if trial else None for trial in self.trials]
        epochs = [trial.epochs + 1 if trial else 0 for trial in self.trials]
        seeds = [spec.seed if spec else 0 for spec in specs]
        size = self.layout.batch_size
        self._batches.begin_epoch(self.data.batch_order(seeds, epochs, size))
        pairs = zip(specs, epochs, strict=True)
        rates = torch.stack([self._learning_rates(spec, epoch) for spec, epoch in pairs], dim=1)
        self.optimizer.begin_epoch(rates)
        if isinstance(self.network, ModuleNetwork):
            self.network.begin_epoch(seeds[0], epochs[0])
        for use, hashed in (("dropout", self.network.dropout), ("augment", self._augmentation)):
            if hashed is not None:
                keys = [
                    wrap_int32(derive_seed(use, *pair)) for pair in zip(seeds, epochs, strict=True)
                ]
                new_keys = torch.tensor(keys, dtype=torch.int32).view_as(hashed.epoch_keys)
                hashed.epoch_keys.copy_(new_keys)
        for counter in (self._step, self._loss, self._correct):
            counter.zero_()
        self._uncounted.clear()
        return rates

    def train_epoch(self) -> TrainMetrics:
        """Train one pass over the training set, every trial in its own order."""
        rates = self.begin_epoch()
        self.train_steps(self.steps)
        for trial in self.trials:
            if trial is not None:
                trial.epochs += 1
        examples = self.steps * self.layout.batch_size
        # The epoch's only wait for the device.
        losses, correct = (self._loss / self.steps).tolist(), self._correct.tolist()
        metrics = [{"train_accuracy": count / examples} for count in correct]
        if self.data.is_regression:
            scales = [trial.data.target_std if trial else 1.0 for trial in self.trials]
            rmse = [math.sqrt(mse) * scale for mse, scale in zip(losses, scales, strict=True)]
            if self.masks.target is not None:
                rmse = [math.sqrt(squares / examples) for squares in correct]
            metrics = [
                {"train_rmse": value} if trial is not None and trial.spec.loss == "mse" else {}
                for trial, value in zip(self.trials, rmse, strict=True)
            ]
        return TrainMetrics(losses, metrics, rates[-1].tolist())

    def train_steps(self, count: int) -> None:
        """Do the next steps of the epoch; on a GPU they are only launched."""
        step = self._replay or self._train_step
        with self._grad_mode():
            for _ in range(count):
                step()
                if len(self._uncounted) == COUNTED_STEPS:
                    self._count()
            self._count()

    def _count(self) -> None:
        if self._uncounted:
            self._correct += torch.stack(self._uncounted).sum((0, 1))
            self._uncounted.clear()

    def _warm_up(self) -> None:
        self._step.zero_()  # an epoch may have fewer steps than there are warm-ups
        self._train_step()

    def _train_step(self) -> None:
        x, y = self._batches.gather(self._step)
        if self._augmentation is not None:
            x = self._augmentation(x, self._step)
        if self.network.dropout is not None:
            self.network.dropout.set_step(self._step)
        loss, correct = self.network.gradients(x, y)
        self._loss += loss
        if self._counts_later:
            self._uncounted.append(correct)
        else:
            self._correct += correct.sum(0)
        self.optimizer.step(self._step)
        self._step += self._one

    def _learning_rates(self, spec: TrialSpec | None, epoch: int) -> Tensor:
        if spec is None:
            return torch.zeros(self.steps, dtype=torch.float64)
        return compute_learning_rates(
            spec, (epoch - 1) * self.steps, self.steps, spec.epochs * self.steps
        )

    def validate(self) -> ValidationMetrics:
        """Return every slot's mean loss, confusion matrix and predictions on the validation set."""
        with self._grad_mode():
            return self._validate()

    def _validate(self) -> ValidationMetrics:
        slots = self.layout.slots
        loss = self._loss.new_zeros(slots)
        names = list(self.masks.loss)
        predictions, example_losses, outputs = [], [], list[Tensor]()
        for x, y in self.data.validation_batches(self._target.val_labels, slots):
            logits = self.network.logits(x)  # [B, K, C]
            level = self.masks.quantile[0, :, 0]
            batch_losses = losses.compute_example_losses(names[0], logits, y, level)  # [B, K]
            for name in names[1:]:
                other = losses.compute_example_losses(name, logits, y, level)
                batch_losses = torch.where(self.masks.loss[name][0, :, 0], other, batch_losses)
            loss += batch_losses.sum(0)
            example_losses.append(batch_losses)
            predictions.append(logits[..., 0] if self.data.is_regression else logits.argmax(2))
            if not self.data.is_regression:
                outputs.append(logits)
        predicted, example = torch.cat(predictions), torch.cat(example_losses)  # [n, K]
        if isinstance(self.data, SlotData):
            return measure_folds(self.data, predicted, example, outputs)
        target = self.layout.target_transform, self._target.statistics
        means = (loss / len(predicted)).tolist()
        return measure_slots(self.data, target, predicted, means, example, outputs)

    def penalty(self, slot: int, spec: TrialSpec) -> float:
        return compute_penalty(spec, self.buffer.params[slot])

    def weights(self, slot: int, spec: TrialSpec) -> NamedTensors:
        """Return copies of a trial's tensors by the names of its module's state dict."""
        return self.buffer.weights(slot, spec)
