"""The training and validation parts on the device as raw tensors, normalised batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from harness.data.parts import Splits
from harness.trial import TrialSpec, derived_seed


class Resident:
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
        self.classes = len(splits.classes)
        self.mean = splits.mean.to(self.device, dtype)
        self.inv_std = splits.inv_std.to(self.device, dtype)
        train, validation = splits.train, splits.validation
        self.images = train.inputs.flatten(1).to(self.device)  # [all, D], mapped, shared
        self.labels = train.labels.to(self.device)
        self.rows = train.rows.to(self.device)  # [N]: the rows of `images` to train on
        self.val_images = validation.inputs[validation.rows].flatten(1).to(self.device)
        self.val_labels = validation.labels[validation.rows].to(self.device)

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, specs: list[TrialSpec], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch: x [B, K, D] normalised and y [B, K]; x is overwritten by the next batch."""
        size, members = specs[0].batch_size, len(specs)
        raw = self.images.new_empty(size * members, self.images.shape[1])
        x = torch.empty(size, members, self.images.shape[1], dtype=self.dtype, device=self.device)
        for rows in self.order(specs, epoch):
            torch.index_select(self.images, 0, rows.flatten(), out=raw)
            x.copy_(raw.view(x.shape)).sub_(self.mean).mul_(self.inv_std)
            yield x, self.labels[rows]

    def validation(self, members: int, size: int = 2000) -> Iterator[tuple[Tensor, Tensor]]:
        """x [B, K, D], the same examples for every member, and y [B]."""
        for start in range(0, len(self.val_images), size):
            raw = self.val_images[start : start + size].to(self.dtype)
            x = (raw - self.mean) * self.inv_std
            yield x.unsqueeze(1).expand(-1, members, -1), self.val_labels[start : start + size]

    def order(self, specs: list[TrialSpec], epoch: int) -> Tensor:
        """[steps, B, K]: rows of `images`, each member's in its own order.

        A member's order is a function of (its seed, epoch) alone: a permutation cut into full
        batches. Examples that fill none wait for another epoch.
        """
        columns = []
        for spec in specs:
            generator = torch.Generator().manual_seed(derived_seed("order", spec.seed, epoch))
            columns.append(torch.randperm(len(self), generator=generator).to(self.device))
        size = specs[0].batch_size
        steps = len(self) // size
        permuted = self.rows[torch.stack(columns, dim=1)]  # [N, K]
        return permuted[: steps * size].view(steps, size, len(specs))
