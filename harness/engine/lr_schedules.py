"""The learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from harness.trial import TrialSpec

RISE, START, END = 0.3, 1 / 25, 1e-4 / 25  # torch.optim.lr_scheduler.OneCycleLR's defaults


def learning_rates(spec: TrialSpec, first: int, count: int, steps: int) -> Tensor:
    """Of `count` steps from step `first` on, of `steps` in the whole training; float64 [count].

    As torch.optim.lr_scheduler's, stepped every batch: `cosine` is CosineAnnealingLR with
    eta_min 0, `one-cycle` OneCycleLR, `step` MultiStepLR at steps // 2 and 3 * steps // 4.
    """
    step = torch.arange(first, first + count, dtype=torch.float64)
    return spec.learning_rate * FACTORS[spec.schedule](step, steps)


def _step(step: Tensor, steps: int) -> Tensor:
    drops = (step >= steps // 2).double() + (step >= 3 * steps // 4).double()
    return 0.1**drops


def _one_cycle(step: Tensor, steps: int) -> Tensor:
    top, last = RISE * steps - 1, steps - 1
    rising = _anneal(START, 1.0, step / top)
    return torch.where(step <= top, rising, _anneal(1.0, END, (step - top) / (last - top)))


def _anneal(start: float, end: float, share: Tensor) -> Tensor:
    return end + (start - end) / 2 * (1 + torch.cos(math.pi * share))


FACTORS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "constant": lambda step, steps: torch.ones_like(step),
    "step": _step,
    "cosine": lambda step, steps: _anneal(1.0, 0.0, step / steps),
    "one-cycle": _one_cycle,
}
