"""Base class of the networks: normalizes inputs, converts a regression's output to target units."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.models import target_transform
from harness.models.target_transform import STATISTIC_SHAPES
from harness.trial import TargetTransform


class NormalizedModel(nn.Module):
    """A network that carries the statistics of its training data as buffers.

    `mean` and `inv_std` have the shape of one example. With `target`, the transform of a
    regression's target, the output is in the target's own units; its statistics are 0 until they
    are loaded. So a loaded model takes raw examples and needs nothing else.
    """

    mean: Tensor
    inv_std: Tensor

    def __init__(
        self,
        mean: Tensor,
        inv_std: Tensor,
        dtype: torch.dtype,
        target: TargetTransform | None,
    ) -> None:
        super().__init__()
        self.is_regression = target is not None
        self.target_transform: TargetTransform = target or "standard"
        if target is not None:
            for name, shape in STATISTIC_SHAPES[target].items():
                self.register_buffer(name, torch.zeros(shape, dtype=dtype))
        self.register_buffer("mean", mean.to(dtype).clone())
        self.register_buffer("inv_std", inv_std.to(dtype).clone())

    def normalize(self, x: Tensor) -> Tensor:
        """Normalize raw examples: [B, *example] of any real dtype to float [B, *mean.shape]."""
        return (
            x.to(self.mean.dtype).reshape(x.shape[0], *self.mean.shape) - self.mean
        ) * self.inv_std

    def to_target_units(self, output: Tensor) -> Tensor:
        """Convert a regression's output to the target's units; return logits unchanged."""
        if not self.is_regression:
            return output
        return target_transform.to_target_units(
            self.target_transform, output, self._get_target_statistics()
        )

    def compute_target_errors(self, predicted: Tensor, true: Tensor) -> Tensor:
        """Return a regression's errors [n] in the units of its loss."""
        return target_transform.compute_errors(
            self.target_transform, predicted, true, self._get_target_statistics()
        )

    def _get_target_statistics(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in STATISTIC_SHAPES[self.target_transform]}
