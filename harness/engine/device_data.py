"""The training and validation parts on the device as raw tensors, normalised batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from harness.data.torch_datasets import Splits
from harness.engine.rng import permutations
from harness.trial import derived_seed


class DeviceData:
    """What trials train on: raw examples [N, D] on the device, statistics in the float type.

    Raw images stay uint8, a quarter of the memory traffic; a batch is converted and normalised
    as it is gathered, which costs about 1 % of a step.
    """

    def __init__(
        self,
        splits: Splits,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.regression = splits.task == "regression"
        self.classes = 1 if self.regression else len(splits.classes)
        """Columns of the output."""
        self.target_mean, self.target_std = splits.target_mean, splits.target_std or 1.0
        self.mean = splits.mean.to(self.device, dtype)
        self.inv_std = splits.inv_std.to(self.device, dtype)
        train, validation = splits.train, splits.validation
        self.shape = tuple(train.inputs.shape[1:])
        """Of an example, before it is flattened."""
        self.images = train.inputs.flatten(1).to(self.device)  # [all, D], mapped, shared
        self.labels = self._labels(train.labels)
        self.rows = train.rows.to(self.device)  # [N]: the rows of `images` to train on
        # Seen whole after every epoch, in the same order, by every trial: normalised once.
        raw = validation.inputs[validation.rows].flatten(1).to(self.device)
        self.val_inputs = (raw.to(dtype) - self.mean) * self.inv_std  # [n, D]
        self.val_targets = validation.labels[validation.rows]
        """As they are: of a regression in the target's own units."""
        self.val_labels = self._labels(self.val_targets)

    def _labels(self, labels: Tensor) -> Tensor:
        """What is trained to: classes, or a regression's standardised target."""
        if self.regression:
            labels = ((labels.double() - self.target_mean) / self.target_std).to(self.dtype)
        return labels.to(self.device)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def inputs(self) -> int:
        """D, the size of an example."""
        return self.images.shape[1]

    def order(self, seeds: Sequence[int], epochs: Sequence[int], batch_size: int) -> Tensor:
        """[steps, B, K]: rows of `images`, each member's in its own order.

        A member's order is a function of (its seed, its epoch) alone, the same on every device: a
        permutation cut into full batches. Examples that fill none wait for another epoch.
        """
        keys = [derived_seed("order", *key) for key in zip(seeds, epochs, strict=True)]
        permuted = permutations(torch.tensor(keys, device=self.device), len(self))  # [K, N]
        steps = len(self) // batch_size
        return self.rows[permuted[:, : steps * batch_size].t()].view(steps, batch_size, len(keys))

    def validation(self, members: int, size: int = 2000) -> Iterator[tuple[Tensor, Tensor]]:
        """x [B, K, D], the same examples for every member, and y [B]."""
        for start in range(0, len(self.val_inputs), size):
            x = self.val_inputs[start : start + size].unsqueeze(1)
            yield x.expand(-1, members, -1), self.val_labels[start : start + size]


class Batches:
    """Gathers each step's batch of every member into the same two buffers."""

    def __init__(self, data: DeviceData, batch_size: int, members: int) -> None:
        self._data = data
        size = batch_size * members
        self._raw = data.images.new_empty(size, data.inputs)
        self._x = data.mean.new_empty(batch_size, members, data.inputs)
        self._y = data.labels.new_empty(batch_size, members)
        self._raw_of_x, self._flat_y = self._raw.view(self._x.shape), self._y.view(-1)
        steps = len(data) // batch_size
        self.order = data.rows.new_zeros(steps, batch_size, members)
        """Of this epoch, written in place."""

    def at(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, K, D] normalised and y [B, K] of a step, an int64 [1]; the next overwrites them."""
        data, rows = self._data, self.order.index_select(0, step).flatten()
        torch.index_select(data.images, 0, rows, out=self._raw)
        self._x.copy_(self._raw_of_x).sub_(data.mean).mul_(data.inv_std)
        torch.index_select(data.labels, 0, rows, out=self._flat_y)
        return self._x, self._y
