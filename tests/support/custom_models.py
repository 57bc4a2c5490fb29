"""Custom models as a user would write them, and some that cannot be trained."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SmallConv(nn.Module):
    def __init__(
        self, shape: Sequence[int], classes: int, channels: int = 8, dropout: float = 0.0
    ) -> None:
        super().__init__()
        first, height, width = shape
        self.conv = nn.Conv2d(first, channels, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(channels * (height // 2) * (width // 2), classes)

    def forward(self, x: Tensor) -> Tensor:  # [B, first, height, width]
        h = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.out(self.dropout(h.flatten(1)))


class Layers(nn.Module):
    """The built-in network, written with torch.nn."""

    def __init__(
        self, inputs: int, classes: int, widths: Sequence[int], normed: bool = False
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise((inputs, *widths)):
            layers += [nn.Linear(fan_in, fan_out, bias=not normed)]
            layers += [nn.BatchNorm1d(fan_out), nn.ReLU()] if normed else [nn.ReLU()]
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], classes))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class Lazy(nn.Module):
    """Its shapes are inferred from the first batch."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.out = nn.LazyLinear(classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(x.flatten(1))
        return out


class Frozen(SmallConv):
    """Its convolution is not trained."""

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes)
        self.conv.requires_grad_(False)


class FiveLogits(SmallConv):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :5]


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), 10)


class Picky(SmallConv):
    def __init__(self, shape: Sequence[int], classes: int, channels: int = 8) -> None:
        if channels % 2:
            raise KeyError("an odd number of channels")
        super().__init__(shape, classes, channels)


class Stubborn(SmallConv):
    """Works when it is checked in eval mode, but fails in training."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise TypeError("not in the mood")
        return super().forward(x)


def factory(classes: int) -> nn.Module:
    return nn.LazyLinear(classes)
