"""Random numbers as a function of what they are for: (seed, epoch, step, place), never of a state.

torch's generators give a stream, whose numbers depend on how many were drawn before and differ
between devices. A trial that gives the same result in every slot, beside any others and on any
device needs numbers that depend on nothing but the trial; hashing their place gives them, for all
members at once. The mixing functions are the finalisers of splitmix64 (Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", 2014) and of MurmurHash3 (Appleby).
"""

from __future__ import annotations

import torch
from torch import Tensor

GOLDEN = -7046029254386353131  # 2^64 / golden ratio, odd, as int64
# Odd constants that spread small counts over int32: those of xxHash32 (Collet).
EXAMPLE, UNIT, STEP, LAYER = -1640531535, 668265263, -2048144777, -1028477379


def permutations(seeds: Tensor, size: int) -> Tensor:
    """[K, size]: for each of the int64 seeds [K], a permutation of 0 ... size - 1.

    Sorts size hashes a seed; should two be equal, the earlier index comes first.
    """
    index = torch.arange(size, device=seeds.device)
    return _mix64(index * GOLDEN + seeds.unsqueeze(1)).argsort(dim=1, stable=True)


class Dropout:
    """Masks of [B, K, H]: element [b, k, h] depends on member k's key, the step and layer alone."""

    def __init__(self, slots: int, batch_size: int, widest: int, device: torch.device) -> None:
        self._examples = multiples(batch_size, EXAMPLE, device).view(-1, 1, 1)
        self._units = multiples(widest, UNIT, device)
        self.epoch_keys = torch.zeros(1, slots, 1, dtype=torch.int32, device=device)
        """One a member, written at the start of its epoch."""
        self._keys = torch.zeros_like(self.epoch_keys)

    def step(self, step: Tensor) -> None:
        """Go to a step of the epoch, an int64 tensor [1] on the device."""
        self._keys.copy_(mix32(self.epoch_keys + (step * STEP).to(torch.int32)))

    def keep(self, layer: int, threshold: Tensor, width: int) -> Tensor:
        """True where a unit is kept: where a hash, uniform over int32, is at least the threshold.

        The threshold is int32 [1, K, 1]; the result [B, K, width].
        """
        keys = self._keys[:, : threshold.shape[1]] + as_int32(layer * LAYER)
        rows = mix32(self._examples + keys)  # [B, K, 1]
        return mix32(rows ^ self._units[:width]) >= threshold


def multiples(count: int, odd: int, device: torch.device) -> Tensor:
    """int32 [count]: 0, odd, 2 * odd, ..., wrapped around."""
    return (torch.arange(count, device=device) * odd).to(torch.int32)


def as_int32(value: int) -> int:
    """Wrapped around, as int32 arithmetic does."""
    return (value + 2**31) % 2**32 - 2**31


def threshold(p: float) -> int:
    """The int32 below which a share p of all int32 lies."""
    return min(round(p * 2**32), 2**32 - 1) - 2**31


def _mix64(z: Tensor) -> Tensor:
    # Masked, because torch shifts the sign in from the left.
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return z ^ ((z >> 31) & 0x1FFFFFFFF)


def mix32(z: Tensor) -> Tensor:
    """Each int32 to a hash of it, uniform over int32."""
    z = (z ^ ((z >> 16) & 0xFFFF)).mul_(-2048144789)
    z = (z ^ ((z >> 13) & 0x7FFFF)).mul_(-1028477387)
    return z ^ ((z >> 16) & 0xFFFF)
