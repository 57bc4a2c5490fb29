"""Pictures changed at random as they are trained on: moved, turned, scaled, mirrored, part erased.

Each number comes of a hash of (seed, epoch, step, the example's place in the batch, what it is
for), as dropout's do: so an augmented trial, too, is the same in every slot and on any device.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.engine.randomness import EXAMPLE, STEP, UNIT, mix32, multiples
from harness.trial import TrialSpec

AMOUNTS = {
    "shift": 0.16,  # to either side: 2 pixels of 28 (a picture is 2 wide here)
    "rotate": math.radians(10),
    "scale": 0.1,
    "flip": 0.5,  # of the pictures
    "erase": 0.5,  # of the pictures
}
ERASED = 0.3
"""Side of the square that is erased, of the picture's."""


class Augment:
    """Of a program's K slots; [height, width] pictures that stand flat in [B, K, D]."""

    def __init__(self, slots: int, batch_size: int, shape: tuple[int, int], black: Tensor) -> None:
        """`black` [D] is what a pixel of 0 is after normalisation: what comes in from outside."""
        device = black.device
        self._shape, self._black = shape, black
        self._examples = multiples(batch_size, EXAMPLE, device).view(-1, 1, 1)
        self._purposes = multiples(8, UNIT, device)
        self.epoch_keys = torch.zeros(1, slots, 1, dtype=torch.int32, device=device)
        """One a member, written at the start of its epoch."""
        self._amounts = {name: black.new_zeros(1, slots) for name in AMOUNTS}
        self._on = torch.zeros(1, slots, 1, dtype=torch.bool, device=device)

    def load(self, slot: int, spec: TrialSpec) -> None:
        for name, amounts in self._amounts.items():
            amounts[0, slot] = AMOUNTS[name] if name in spec.augment else 0.0
        self._on[0, slot] = bool(spec.augment)

    def __call__(self, x: Tensor, step: Tensor) -> Tensor:
        """x [B, K, D] normalised, as the members that augment see it in a step, an int64 [1]."""
        batch, slots, _ = x.shape
        height, width = self._shape
        keys = mix32(self.epoch_keys + (step * STEP).to(torch.int32))
        hashes = mix32(mix32(self._examples + keys) ^ self._purposes)
        u = hashes.to(x.dtype) * 2.0**-31  # [B, K, 8] in [-1, 1)
        amount = self._amounts
        flipped = torch.where(u[..., 4].abs() < amount["flip"], -1.0, 1.0)
        angle, zoom = u[..., 2] * amount["rotate"], 1 + u[..., 3] * amount["scale"]
        cos, sin = angle.cos() * zoom, angle.sin() * zoom
        rows = [cos * flipped, -sin, u[..., 0] * amount["shift"]]
        rows += [sin * flipped, cos, u[..., 1] * amount["shift"]]
        theta = torch.stack(rows, -1).view(batch * slots, 2, 3)
        pictures = (x - self._black).view(batch * slots, 1, height, width)
        grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
        moved = F.grid_sample(pictures, grid, align_corners=False).view(batch, slots, height, width)
        moved = moved.masked_fill(self._erased(u), 0).view(x.shape) + self._black
        return torch.where(self._on, moved, x)

    def _erased(self, u: Tensor) -> Tensor:
        """[B, K, height, width]: True in the square that an example loses, if it loses one."""
        inside = []
        for side, where in zip(self._shape, (u[..., 5], u[..., 6]), strict=True):
            size = max(1, round(ERASED * side))
            start = ((where + 1) / 2 * (side - size + 1)).floor().unsqueeze(-1)  # [B, K, 1]
            place = torch.arange(side, device=u.device)
            inside.append((place >= start) & (place < start + size))
        hit = u[..., 7].abs() < self._amounts["erase"]
        return inside[0].unsqueeze(-1) & inside[1].unsqueeze(-2) & hit[..., None, None]
