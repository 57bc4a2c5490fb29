"""Pictures changed at random as they are trained on: moved, turned, scaled, mirrored, part erased.

Each number comes of a hash of (seed, epoch, step, the example's place in the batch, what it is
for), as dropout's do: so an augmented trial, too, is the same in every slot and on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.engine.rng import EXAMPLE, STEP, UNIT, mix32, multiples
from harness.trial import AugmentName, TrialSpec

AMOUNTS = {
    "shift": 0.16,  # to either side: 2 pixels of 28 (a picture is 2 wide here)
    "rotate": math.radians(10),
    "scale": 0.1,
    "flip": 0.5,  # of the pictures
    "erase": 0.5,  # of the pictures
}
RESAMPLED = frozenset({"shift", "rotate", "scale"})
ERASED = 0.3
"""Side of the square that is erased, of the picture's."""


class Augment:
    """Of a program's K slots; pictures that stand flat in [B, K, D].

    They are [height, width] or [channels, height, width]; all channels of a picture change alike.
    Moving, turning and scaling is one resampling, which takes longer than a small network's step;
    it is done only where a member wants it.
    """

    def __init__(
        self,
        names: Sequence[AugmentName],
        slots: int,
        batch_size: int,
        shape: tuple[int, ...],
        black: Tensor,
    ) -> None:
        """`names` are what any member does; `black` [D] is what a pixel of 0 is normalised."""
        device = black.device
        self._shape = (1, *shape)[-3:]  # a grey picture has one channel
        self._black = black.view(self._shape)
        self._examples = multiples(batch_size, EXAMPLE, device).view(-1, 1, 1)
        self._purposes = multiples(8, UNIT, device)
        self.epoch_keys = torch.zeros(1, slots, 1, dtype=torch.int32, device=device)
        """One a member, written at the start of its epoch."""
        self._amounts = {name: black.new_zeros(1, slots) for name in AMOUNTS}
        self._resampled = torch.zeros(1, slots, 1, 1, 1, dtype=torch.bool, device=device)
        self._names = frozenset(names)

    def load(self, slot: int, spec: TrialSpec) -> None:
        for name, amounts in self._amounts.items():
            amounts[0, slot] = AMOUNTS[name] if name in spec.augment else 0.0
        self._resampled[0, slot] = not RESAMPLED.isdisjoint(spec.augment)

    def __call__(self, x: Tensor, step: Tensor) -> Tensor:
        """x [B, K, D] normalised, as the members see it in a step of the epoch, an int64 [1]."""
        keys = mix32(self.epoch_keys + (step * STEP).to(torch.int32))
        hashes = mix32(mix32(self._examples + keys) ^ self._purposes)
        u = hashes.to(x.dtype) * 2.0**-31  # [B, K, 8] in [-1, 1)
        pictures = x.reshape(*x.shape[:2], *self._shape)
        if "flip" in self._names:
            mirrored = self._hit(u[..., 4], "flip")
            pictures = torch.where(mirrored, pictures.flip(-1), pictures)
        if not RESAMPLED.isdisjoint(self._names):
            pictures = torch.where(self._resampled, self._moved(pictures, u), pictures)
        if "erase" in self._names:
            gone = self._square(u) & self._hit(u[..., 7], "erase")
            pictures = torch.where(gone, self._black, pictures)
        return pictures.flatten(2)

    def _moved(self, pictures: Tensor, u: Tensor) -> Tensor:
        amount = self._amounts
        angle, zoom = u[..., 2] * amount["rotate"], 1 + u[..., 3] * amount["scale"]
        cos, sin = angle.cos() * zoom, angle.sin() * zoom
        rows = [cos, -sin, u[..., 0] * amount["shift"], sin, cos, u[..., 1] * amount["shift"]]
        theta = torch.stack(rows, -1).view(-1, 2, 3)
        flat = (pictures - self._black).reshape(-1, *self._shape)
        grid = F.affine_grid(theta, list(flat.shape), align_corners=False)
        moved = F.grid_sample(flat, grid, align_corners=False)
        return moved.view(pictures.shape) + self._black

    def _hit(self, u: Tensor, name: AugmentName) -> Tensor:
        """[B, K, 1, 1, 1]: which examples a change falls on."""
        return (u.abs() < self._amounts[name])[..., None, None, None]

    def _square(self, u: Tensor) -> Tensor:
        """[B, K, 1, height, width]: True in a square, each example's its own."""
        inside = []
        for side, where in zip(self._shape[1:], (u[..., 5], u[..., 6]), strict=True):
            size = max(1, round(ERASED * side))
            start = ((where + 1) / 2 * (side - size + 1)).floor()[..., None, None]  # [B, K, 1, 1]
            place = torch.arange(side, device=u.device)
            inside.append((place >= start) & (place < start + size))
        return inside[0].unsqueeze(-1) & inside[1].unsqueeze(-2)
