"""Elastic distortion: a smooth random displacement of every pixel.

P. Simard, D. Steinkraus and J. Platt, "Best practices for convolutional neural networks applied to
visual document analysis" (ICDAR 2003): uniform noise for both directions, smoothed by a Gaussian
and scaled. Their values for digits of 29 pixels, 4 pixels of standard deviation and a factor of 34,
move a pixel by about 1.4 pixels; here both are fractions of the image's side.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.engine.rng import UNIT, mix32, multiples

SMOOTHING = 4 / 29
"""Standard deviation of the Gaussian, as a fraction of the side."""
DISPLACEMENT = 34 / 29
"""Factor of the smoothed noise in [-1, 1), as a fraction of the side."""
FIRST_PURPOSE = 8
"""The purposes of random numbers before this one are those of the other changes."""


class ElasticField:
    """Displacements for images of one height and width."""

    def __init__(self, height: int, width: int, device: torch.device, dtype: torch.dtype) -> None:
        self._shape = 2, height, width
        count = 2 * height * width
        self._purposes = multiples(FIRST_PURPOSE + count, UNIT, device)[FIRST_PURPOSE:]
        scale = 2 * DISPLACEMENT
        self._down = (scale * create_smoothing(height)).to(device, dtype)
        self._across = create_smoothing(width).to(device, dtype)

    def compute(self, hashes: Tensor, dtype: torch.dtype) -> Tensor:
        """Return displacements [..., H, W, 2] of the grid that `affine_grid` gives, (x, y).

        The image is 2 wide and 2 high there. `hashes` [..., 1] int32 are one for each example.
        """
        noise = mix32(hashes ^ self._purposes).to(dtype) * 2.0**-31  # [..., 2 * H * W]
        # One matrix product for all rows, and one for all columns.
        rows = noise.view(*hashes.shape[:-1], *self._shape) @ self._across
        columns = rows.transpose(-1, -2).contiguous() @ self._down  # [..., 2, W, H]
        return columns.movedim(-3, -1).transpose(-3, -2)


def create_smoothing(size: int) -> Tensor:
    """Return the symmetric matrix [size, size] that convolves with a Gaussian; outside is zero."""
    places = torch.arange(size, dtype=torch.float64)
    deviation = SMOOTHING * size
    distances = (places.unsqueeze(1) - places) / deviation
    density: Tensor = (-distances.square() / 2).exp()
    reach = torch.arange(-4 * size, 4 * size + 1, dtype=torch.float64) / deviation
    return density / (-reach.square() / 2).exp().sum()
