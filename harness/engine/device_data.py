"""The training and validation sets on the device, and the batches of each training step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from harness.data.torch_datasets import Splits
from harness.engine.rng import permutations
from harness.models.target_transform import fit_transform, to_network_units
from harness.trial import TargetTransform, derive_seed

if TYPE_CHECKING:
    from harness.engine.slot_data import SlotData


class Target(NamedTuple):
    """What trials with one target transform are trained on."""

    labels: Tensor
    """Classes int64 [all], or transformed targets in the float type."""
    val_labels: Tensor
    """Those of the validation set, [n]."""
    statistics: Mapping[str, Tensor]
    """Of a regression, the buffers that its models carry; see harness.models.target_transform."""


class DeviceData:
    """Raw examples [N, D] on the device, with their statistics in the float type.

    Images stay uint8, a quarter of the memory traffic. A batch is converted and normalized as it
    is gathered, which costs about 1 % of a step.
    """

    def __init__(
        self,
        splits: Splits,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        examples: Tensor | None = None,
    ) -> None:
        """Load the splits. `examples` are those of another fold of the same file, to share."""
        self.device, self.dtype = torch.device(device), dtype
        self.is_regression = splits.task == "regression"
        self.classes = 1 if self.is_regression else len(splits.classes)
        """C, the columns of the output; 1 for a regression."""
        self.mean = splits.mean.to(self.device, dtype)
        self.inv_std = splits.inv_std.to(self.device, dtype)
        self.features = torch.tensor(splits.features or [0] * len(splits.mean))
        """[D], int64 on the CPU: for each input 0 if it is a number, else its category."""
        train, validation = splits.train, splits.validation
        self.shape = tuple(train.inputs.shape[1:])
        """Shape of an example before it is flattened."""
        if examples is None:
            examples = train.inputs.flatten(1).to(self.device)
        self.examples = examples  # [all, D], memory-mapped, shared
        self._labels = train.labels  # [all], as in the dataset
        self.target_mean, self.target_std = splits.target_mean, splits.target_std or 1.0
        self._targets: dict[TargetTransform, Target] = {}
        self.label_offsets: Tensor | None = None
        self.rows = train.rows.to(self.device)  # [N], the rows of `examples` to train on
        self._validation = validation
        self.val_targets = validation.labels[validation.rows]
        """[n], as in the dataset: a regression's in the target's own units."""

    @cached_property
    def val_inputs(self) -> Tensor:
        """The validation set [n, D], normalized once: all trials see it in every epoch."""
        with torch.inference_mode(False):
            raw = self._validation.inputs[self._validation.rows].flatten(1).to(self.device)
            return (raw.to(self.dtype) - self.mean) * self.inv_std

    def get_target(self, transform: TargetTransform) -> Target:
        """Return what is trained on: classes, or a regression's transformed target.

        Raises ValueError if the transform does not suit the training targets.
        """
        if transform not in self._targets:
            self._targets[transform] = self._fit_target(transform)
        return self._targets[transform]

    def _fit_target(self, transform: TargetTransform) -> Target:
        labels, validation = self._labels, self.val_targets
        if not self.is_regression:
            return Target(labels.to(self.device), validation.to(self.device), {})
        if transform == "standard":
            fitted = {
                name: torch.tensor(getattr(self, name), dtype=torch.float64)
                for name in ("target_mean", "target_std")
            }
        else:
            rows = self.rows.cpu()
            fitted = fit_transform(transform, labels[rows].double().numpy())
        train, val = (
            to_network_units(transform, values, fitted).to(self.device, self.dtype)
            for values in (labels, validation)
        )
        statistics = {name: value.to(self.device, self.dtype) for name, value in fitted.items()}
        return Target(train, val, statistics)

    @property
    def labels(self) -> Tensor:
        """Classes [all], or a regression's standardized targets."""
        return self.get_target("standard").labels

    @property
    def val_labels(self) -> Tensor:
        """Those of the validation set, [n]."""
        return self.get_target("standard").val_labels

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def balanced_weights(self) -> Tensor:
        """Weight of each class, [C]: n / (classes * count) over the classes of the training set.

        A class without training examples has weight 0.
        """
        counts = torch.bincount(self.labels[self.rows], minlength=self.classes).double()
        weights = len(self) / (counts.count_nonzero() * counts)
        return weights.where(counts > 0, 0).to(self.dtype)

    @property
    def inputs(self) -> int:
        """D, the number of inputs: an example's size."""
        return self.examples.shape[1]

    def batch_order(self, seeds: Sequence[int], epochs: Sequence[int], batch_size: int) -> Tensor:
        """Return the rows of `examples` for each step, [steps, B, K].

        A slot's order depends on its seed and epoch alone and is the same on every device: a
        permutation cut into full batches. Left-over examples are not used in this epoch.
        """
        keys = [derive_seed("order", *key) for key in zip(seeds, epochs, strict=True)]
        permuted = permutations(torch.tensor(keys, device=self.device), len(self))  # [K, N]
        steps = len(self) // batch_size
        return self.rows[permuted[:, : steps * batch_size].t()].view(steps, batch_size, len(keys))

    def validation_batches(
        self, labels: Tensor, slots: int, size: int = 2000
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield x [B, K, D], the same examples in every slot, and y [B, K] of the labels [n]."""
        for start in range(0, len(self.val_inputs), size):
            x = self.val_inputs[start : start + size].unsqueeze(1)
            y = labels[start : start + size].unsqueeze(1)
            yield x.expand(-1, slots, -1), y.expand(-1, slots)


class Batches:
    """Gathers the batches of every step and slot into the same two tensors."""

    def __init__(
        self, data: DeviceData | SlotData, labels: Tensor, batch_size: int, slots: int
    ) -> None:
        """Create the tensors; `labels` [all] are those of one `Target`."""
        self._data, self._labels, self._label_offsets = data, labels, data.label_offsets
        size = batch_size * slots
        self._raw = data.examples.new_empty(size, data.inputs)
        self._x = data.mean.new_empty(batch_size, slots, data.inputs)
        self._y = labels.new_empty(batch_size, slots)
        self._raw_as_x, self._flat_y = self._raw.view(self._x.shape), self._y.view(-1)
        steps = len(data) // batch_size
        self._order = data.rows.new_zeros(steps, batch_size * slots)
        """[steps, B * K], the rows of this epoch's batches, written in place."""
        self._rows: Iterator[Tensor] | None = None
        """On a CPU, those of each step that is still to do: a step then selects nothing."""

    def begin_epoch(self, order: Tensor) -> None:
        """Start an epoch with the rows [steps, B, K] of `DeviceData.batch_order`."""
        self._order.copy_(order.flatten(1))
        if self._order.device.type == "cpu":
            self._rows = iter(self._order.unbind())

    def gather(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return x [B, K, D] normalized and y [B, K] of a step, an int64 tensor [1].

        On a CPU it must be the epoch's next step. The next call overwrites both.
        """
        data, listed = self._data, self._rows
        rows = next(listed) if listed else self._order.index_select(0, step)[0]  # [B * K]
        torch.index_select(data.examples, 0, rows, out=self._raw)  # [B * K, D]
        self._x.copy_(self._raw_as_x).sub_(data.mean).mul_(data.inv_std)
        if self._label_offsets is not None:
            rows = (rows.view(-1, len(self._label_offsets)) + self._label_offsets).view(-1)
        torch.index_select(self._labels, 0, rows, out=self._flat_y)
        return self._x, self._y
