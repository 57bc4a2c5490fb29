"""The built-in module `model = "conv"`: a small convolutional network for images.

A block halves the image right after its first convolution, as in airbench (Jordan 2024, arXiv
2404.00498): its BatchNorm, activation and further convolutions get a quarter of the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from harness.model_arguments import list_channels
from harness.models.activations import ACTIVATIONS

T = TypeVar("T")
POOLING: dict[str, Callable[[], nn.Module]] = {
    "max": lambda: nn.MaxPool2d(2),
    "avg": lambda: nn.AvgPool2d(2),
    "none": nn.Identity,
}
GLOBAL_POOLING: dict[str, Callable[[], nn.Module]] = {
    "max": lambda: nn.AdaptiveMaxPool2d(1),
    "avg": lambda: nn.AdaptiveAvgPool2d(1),
    "none": nn.Identity,
}


class ConvNet(nn.Module):
    """A convolutional network, for float [B, channels, height, width] -> [B, classes].

    Blocks of convolutions, a pooling over all pixels, and linear layers. A convolution keeps the
    size of its image, which gets zeros around it.

    Args:
        shape: [channels, height, width] of an image.
        classes: Number of outputs.
        channels: Output channels of the first block; each further block has twice as many as the
            one before it. Or a list: the channels of each block.
        blocks: Number of blocks, 3 by default; a list of `channels` sets it too.
        convs: Convolutions in each block.
        kernel: Height and width of each convolution's kernel, an odd number.
        pooling: What halves the image in each block: `max`, `avg`, or `none`.
        global_pooling: What leaves one value of each channel after the last block: `max`, `avg`, or
            `none`, which keeps all values.
        batch_norm: Whether a BatchNorm follows each convolution.
        activation: `relu` or another activation of the built-in network.
        residual: Whether each convolution of a block but the first adds its result to its input.
        head: Units of a hidden linear layer, or a list for several; 0 or an empty list for none.
        dropout: Probability that an input of a linear layer is dropped.

    Raises:
        ValueError: an argument is out of range, or the examples are no images or too small.
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        channels: int | Sequence[int] = 32,
        blocks: int | None = None,
        convs: int = 2,
        kernel: int = 3,
        pooling: str = "max",
        global_pooling: str = "max",
        batch_norm: bool = True,
        activation: str = "relu",
        residual: bool = False,
        head: int | Sequence[int] = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(
                f"conv needs images, but an example has shape {list(shape)}; for a table, use "
                "tabular"
            )
        if blocks is not None:
            _check_counts(blocks=[blocks])
        widths = list_channels(channels, blocks)
        units: list[Any] = list(head) if isinstance(head, list | tuple) else [head] if head else []
        _check_counts(channels=widths, convs=[convs], kernel=[kernel], head=units)
        if not widths:
            raise ValueError("channels: an empty list; give a number for each block")
        if blocks not in (None, len(widths)):
            raise ValueError(f"blocks: is {blocks}, but channels lists {len(widths)}; leave it out")
        for name, flag in (("batch_norm", batch_norm), ("residual", residual)):
            if not isinstance(flag, bool):
                raise ValueError(f"{name}: must be true or false, not {flag!r}")
        if kernel % 2 == 0:
            raise ValueError(f"kernel: must be odd, not {kernel}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: must be in [0, 1), not {dropout}")
        pool = _choose("pooling", pooling, POOLING)
        pool_all = _choose("global_pooling", global_pooling, GLOBAL_POOLING)
        activate = _choose("activation", activation, ACTIVATIONS).module
        sides = _pool_sides(shape[1:], 0 if pooling == "none" else len(widths))

        def layer(inputs: int, outputs: int, *pooled: nn.Module) -> nn.Sequential:
            conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=not batch_norm)
            norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
            return nn.Sequential(conv, *pooled, *norm, activate())

        self.blocks = nn.Sequential()
        for inputs, width in pairwise([shape[0], *widths]):
            self.blocks.append(layer(inputs, width, pool()))
            further = [layer(width, width) for _ in range(convs - 1)]
            self.blocks.extend(map(Residual, further) if residual else further)
        features = widths[-1] * (math.prod(sides) if global_pooling == "none" else 1)
        self.head = nn.Sequential(pool_all(), nn.Flatten())
        for inputs, width in pairwise([features, *units]):
            self.head.extend([nn.Dropout(dropout), nn.Linear(inputs, width), activate()])
        self.head.extend([nn.Dropout(dropout), nn.Linear([features, *units][-1], classes)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.blocks(_to_channels_last(x)))
        return out


class Residual(nn.Module):
    """The input plus the layer's output, both of the same shape."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layer(x)
        return out


def _to_channels_last(x: Tensor) -> Tensor:
    """Return x [B, C, H, W] in torch's channels_last layout, in which oneDNN's kernels are faster.

    An image of one channel has both layouts at once, and torch would choose the other one for the
    convolution's output.
    """
    if x.shape[1] == 1:
        return x.squeeze(1).unsqueeze(3).permute(0, 3, 1, 2)
    return x.contiguous(memory_format=torch.channels_last)


def _pool_sides(sides: Sequence[int], poolings: int) -> list[int]:
    """Return an image's height and width after so many halvings, rounded down."""
    smallest = 2**poolings
    if min(sides) < smallest:
        raise ValueError(
            f"blocks: {poolings} poolings need images of {smallest}x{smallest} or more, not "
            f"{sides[0]}x{sides[1]}; use fewer blocks, or pooling = none"
        )
    return [side // smallest for side in sides]


def _check_counts(**counts: list[Any]) -> None:
    for name, values in counts.items():
        for value in values:
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}: must be an integer of 1 or more, not {value!r}")


def _choose(name: str, value: str, choices: Mapping[str, T]) -> T:
    if value not in choices:
        raise ValueError(f"{name}: {value!r} is not one of {', '.join(choices)}")
    return choices[value]
