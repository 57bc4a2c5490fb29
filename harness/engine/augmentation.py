"""Random augmentation of training images: shift, rotate, scale, elastic, flip, erase.

Each random number is a hash of (seed, epoch, step, position in the batch, purpose), as dropout's
are. So an augmented trial, too, gives the same result in every slot and on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.engine.elastic import ElasticField
from harness.engine.rng import EXAMPLE, STEP, UNIT, mix32, multiples
from harness.trial import AugmentName, TrialSpec

AMOUNTS = {
    "shift": 0.16,  # either way, where an image is 2 wide: about 2 pixels of 28
    "rotate": math.radians(10),
    "scale": 0.1,
    "elastic": 1.0,  # all images, see harness.engine.elastic
    "flip": 0.5,  # of the images
    "erase": 0.5,  # of the images
}
RESAMPLED = frozenset({"shift", "rotate", "scale", "elastic"})
ERASED_SIDE = 0.3
"""Side of the erased square, as a fraction of the image's side."""


class Augmentation:
    """Augmentation for K slots, each with its own changes.

    Images are [height, width] or [channels, height, width], flattened in x [B, K, D]; all channels
    of an image change alike. Shift, rotation, scaling and elastic distortion are one resampling. It
    takes longer than a small network's step, so it runs only if some trial needs it.
    """

    def __init__(
        self,
        names: Sequence[AugmentName],
        slots: int,
        batch_size: int,
        shape: tuple[int, ...],
        black: Tensor,
    ) -> None:
        """Create it for the changes `names` that any slot may need.

        Args:
            black: [D], the normalized value of a pixel of 0; [K, D] if each slot has its own.
        """
        device = black.device
        self._shape = (1, *shape)[-3:]  # a gray image has one channel
        self._black = black.view(*black.shape[:-1], *self._shape)
        self._examples = multiples(batch_size, EXAMPLE, device).view(-1, 1, 1)
        self._purposes = multiples(8, UNIT, device)
        self.epoch_keys = torch.zeros(1, slots, 1, dtype=torch.int32, device=device)
        """One key a slot, written at the start of each epoch."""
        self._amounts = {name: black.new_zeros(1, slots) for name in AMOUNTS}
        self._resampled = torch.zeros(1, slots, 1, 1, 1, dtype=torch.bool, device=device)
        self._names = frozenset(names)
        self._elastic: ElasticField | None = None
        if "elastic" in self._names:
            _, height, width = self._shape
            self._elastic = ElasticField(height, width, device, black.dtype)

    def load(self, slot: int, spec: TrialSpec, black: Tensor | None = None) -> None:
        """Write a trial's changes into its slot, and the value of `black` [D] if slots differ."""
        if black is not None and self._black.ndim > len(self._shape):
            self._black[slot] = black.view(self._shape)
        for name, amounts in self._amounts.items():
            amounts[0, slot] = AMOUNTS[name] if name in spec.augment else 0.0
        self._resampled[0, slot] = not RESAMPLED.isdisjoint(spec.augment)

    def __call__(self, x: Tensor, step: Tensor) -> Tensor:
        """Augment normalized x [B, K, D] for a step of the epoch, an int64 tensor [1]."""
        keys = mix32(self.epoch_keys + (step * STEP).to(torch.int32))
        of_example = mix32(self._examples + keys)  # [B, K, 1]
        hashes = mix32(of_example ^ self._purposes)
        u = hashes.to(x.dtype) * 2.0**-31  # [B, K, 8] in [-1, 1)
        images = x.reshape(*x.shape[:2], *self._shape)
        if "flip" in self._names:
            mirrored = self._select_examples(u[..., 4], "flip")
            images = torch.where(mirrored, images.flip(-1), images)
        if not RESAMPLED.isdisjoint(self._names):
            images = torch.where(self._resampled, self._resample(images, u, of_example), images)
        if "erase" in self._names:
            erased = self._square_masks(u) & self._select_examples(u[..., 7], "erase")
            images = torch.where(erased, self._black, images)
        return images.flatten(2)

    def _resample(self, images: Tensor, u: Tensor, hashes: Tensor) -> Tensor:
        """Shift, rotate, scale and distort images [B, K, channels, height, width].

        `hashes` [B, K, 1] int32 are one for each image.
        """
        amount = self._amounts
        angle, zoom = u[..., 2] * amount["rotate"], 1 + u[..., 3] * amount["scale"]
        cos, sin = angle.cos() * zoom, angle.sin() * zoom
        rows = [cos, -sin, u[..., 0] * amount["shift"], sin, cos, u[..., 1] * amount["shift"]]
        theta = torch.stack(rows, -1).view(-1, 2, 3)
        flat = (images - self._black).reshape(-1, *self._shape)
        grid = F.affine_grid(theta, list(flat.shape), align_corners=False)
        if self._elastic is not None:
            moved = self._elastic.compute(hashes, images.dtype)  # [B, K, H, W, 2]
            moved = moved * amount["elastic"][..., None, None, None]
            grid = grid + moved.reshape(grid.shape)
        resampled = F.grid_sample(flat, grid, align_corners=False)
        return resampled.view(images.shape) + self._black

    def _select_examples(self, u: Tensor, name: AugmentName) -> Tensor:
        """Return which examples a change applies to: bool [B, K, 1, 1, 1]."""
        return (u.abs() < self._amounts[name])[..., None, None, None]

    def _square_masks(self, u: Tensor) -> Tensor:
        """Return a random square for each example: bool [B, K, 1, height, width], True inside."""
        inside = []
        for side, position in zip(self._shape[1:], (u[..., 5], u[..., 6]), strict=True):
            size = max(1, round(ERASED_SIDE * side))
            start = ((position + 1) / 2 * (side - size + 1)).floor()
            start = start[..., None, None]  # [B, K, 1, 1]
            pixel = torch.arange(side, device=u.device)
            inside.append((pixel >= start) & (pixel < start + size))
        return inside[0].unsqueeze(-1) & inside[1].unsqueeze(-2)
