"""What every network stands in: raw examples are normalised before it, targets have units after."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Normalised(nn.Module):
    """`mean` and `inv_std`, of one example's shape, are buffers: whoever loads the module need not
    know them. With `target`, the mean and standard deviation of what a regression foretells, its
    output is in the target's own units."""

    mean: Tensor
    inv_std: Tensor
    target_mean: Tensor
    target_std: Tensor

    def __init__(
        self,
        mean: Tensor,
        inv_std: Tensor,
        dtype: torch.dtype,
        target: tuple[float, float] | None,
    ) -> None:
        super().__init__()
        self.regression = target is not None
        if target is not None:
            for name, value in zip(("target_mean", "target_std"), target, strict=True):
                self.register_buffer(name, torch.tensor(value, dtype=dtype))
        self.register_buffer("mean", mean.to(dtype).clone())
        self.register_buffer("inv_std", inv_std.to(dtype).clone())

    def normalised(self, x: Tensor) -> Tensor:
        """[B, *example] of any real dtype -> float [B, *mean.shape]."""
        return (
            x.to(self.mean.dtype).reshape(x.shape[0], *self.mean.shape) - self.mean
        ) * self.inv_std

    def in_units(self, output: Tensor) -> Tensor:
        """Of a regression in the target's units; logits as they are."""
        return output * self.target_std + self.target_mean if self.regression else output
