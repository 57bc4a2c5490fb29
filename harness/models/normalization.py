"""Base class of the networks: normalizes inputs, converts a regression's output to target units."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NormalizedModel(nn.Module):
    """A network that carries the statistics of its training data as buffers.

    `mean` and `inv_std` have the shape of one example. With `target`, the mean and standard
    deviation of a regression's target, the output is in the target's own units. So a loaded model
    takes raw examples and needs nothing else.
    """

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
        self.is_regression = target is not None
        if target is not None:
            for name, value in zip(("target_mean", "target_std"), target, strict=True):
                self.register_buffer(name, torch.tensor(value, dtype=dtype))
        self.register_buffer("mean", mean.to(dtype).clone())
        self.register_buffer("inv_std", inv_std.to(dtype).clone())

    def normalize(self, x: Tensor) -> Tensor:
        """Normalize raw examples: [B, *example] of any real dtype to float [B, *mean.shape]."""
        return (
            x.to(self.mean.dtype).reshape(x.shape[0], *self.mean.shape) - self.mean
        ) * self.inv_std

    def to_target_units(self, output: Tensor) -> Tensor:
        """Convert a regression's output to the target's units; return logits unchanged."""
        return output * self.target_std + self.target_mean if self.is_regression else output
