"""Random numbers as a hash of their use (seed, epoch, step, position), not of a generator's state.

torch's generators give a stream: its numbers depend on how many were drawn before and differ
between devices. A trial must give the same result in any slot, beside any other trials and on any
device, so its numbers may depend on nothing but the trial. Hashing a position gives them for all
slots at once. The mixing functions are the finalizers of splitmix64 (Steele, Lea and Flood, "Fast
splittable pseudorandom number generators", 2014) and of MurmurHash3 (Appleby).
"""

from __future__ import annotations

import torch
from torch import Tensor

GOLDEN = -7046029254386353131  # 2^64 / golden ratio, odd, as int64
# Odd constants that spread small counts over int32: those of xxHash32 (Collet).
EXAMPLE, UNIT, STEP, LAYER = -1640531535, 668265263, -2048144777, -1028477379


def permutations(seeds: Tensor, size: int) -> Tensor:
    """Return a permutation of 0 ... size - 1 for each of the int64 seeds [K]: [K, size].

    Each sorts `size` hashes; of two equal hashes the lower index comes first.
    """
    index = torch.arange(size, device=seeds.device)
    return _mix64(index * GOLDEN + seeds.unsqueeze(1)).argsort(dim=1, stable=True)


class Dropout:
    """Dropout masks [B, K, H]: element [b, k, h] depends on slot k's key, step and layer."""

    def __init__(self, slots: int, batch_size: int, widest: int, device: torch.device) -> None:
        self._examples = multiples(batch_size, EXAMPLE, device).view(-1, 1, 1)
        self._units = multiples(widest, UNIT, device)
        self.epoch_keys = torch.zeros(1, slots, 1, dtype=torch.int32, device=device)
        """One key a slot, written at the start of each epoch."""
        self._keys = torch.zeros_like(self.epoch_keys)

    def set_step(self, step: Tensor) -> None:
        """Move to a step of the epoch, an int64 tensor [1] on the device."""
        self._keys.copy_(mix32(self.epoch_keys + (step * STEP).to(torch.int32)))

    def keep_mask(self, layer: int, threshold: Tensor, width: int) -> Tensor:
        """Return a bool mask [B, K, width], True where a unit is kept.

        A unit is kept if its hash, uniform over int32, is at least the threshold, int32 [1, K, 1].
        """
        keys = self._keys[:, : threshold.shape[1]] + wrap_int32(layer * LAYER)
        rows = mix32(self._examples + keys)  # [B, K, 1]
        return mix32(rows ^ self._units[:width]) >= threshold


def multiples(count: int, odd: int, device: torch.device) -> Tensor:
    """Return int32 [count]: 0, odd, 2 * odd, ..., wrapped around."""
    return (torch.arange(count, device=device) * odd).to(torch.int32)


def wrap_int32(value: int) -> int:
    """Wrap an integer around, as int32 arithmetic does."""
    return (value + 2**31) % 2**32 - 2**31


def dropout_threshold(p: float) -> int:
    """Return the int32 below which a fraction p of all int32 values lies."""
    return min(round(p * 2**32), 2**32 - 1) - 2**31


def _mix64(z: Tensor) -> Tensor:
    # Masked, because torch's right shift fills with the sign bit.
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return z ^ ((z >> 31) & 0x1FFFFFFFF)


def mix32(z: Tensor) -> Tensor:
    """Hash each int32; the results are uniform over int32."""
    z = (z ^ ((z >> 16) & 0xFFFF)).mul_(-2048144789)
    z = (z ^ ((z >> 13) & 0x7FFFF)).mul_(-1028477387)
    return z ^ ((z >> 16) & 0xFFFF)
