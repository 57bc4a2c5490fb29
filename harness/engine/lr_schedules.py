"""Learning-rate schedules: the rate of every step, as torch.optim.lr_scheduler computes it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from harness.trial import TrialSpec

RISE, START, END = 0.3, 1 / 25, 1e-4 / 25  # torch.optim.lr_scheduler.OneCycleLR's defaults


def compute_learning_rates(spec: TrialSpec, first: int, count: int, steps: int) -> Tensor:
    """Return the rates of `count` steps from step `first` on, float64 [count].

    `steps` is the number of steps of the whole training. They equal torch.optim.lr_scheduler's,
    stepped every batch: `cosine` is CosineAnnealingLR with eta_min 0, `one-cycle` is OneCycleLR
    with cycle_momentum=False, `step` is MultiStepLR at steps // 2 and 3 * steps // 4. `coslog4` is
    equation (3) of RealMLP (Holzmüller et al. 2024, arXiv 2407.04491).
    """
    step = torch.arange(first, first + count, dtype=torch.float64)
    return spec.learning_rate * FACTORS[spec.schedule](step, steps)


def _step(step: Tensor, steps: int) -> Tensor:
    drops = (step >= steps // 2).double() + (step >= 3 * steps // 4).double()
    return 0.1**drops


def _one_cycle(step: Tensor, steps: int) -> Tensor:
    peak, last = RISE * steps - 1, steps - 1
    rising = _anneal(START, 1.0, step / peak)
    return torch.where(step <= peak, rising, _anneal(1.0, END, (step - peak) / (last - peak)))


def _anneal(start: float, end: float, progress: Tensor) -> Tensor:
    return end + (start - end) / 2 * (1 + torch.cos(math.pi * progress))


# (step, steps) to the factor of the trial's learning_rate.
FACTORS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "constant": lambda step, steps: torch.ones_like(step),
    "step": _step,
    "cosine": lambda step, steps: _anneal(1.0, 0.0, step / steps),
    "flat-cosine": lambda step, steps: _anneal(1.0, 0.0, (2 * step / steps - 1).clamp(min=0)),
    "coslog4": lambda step, steps: _anneal(0.0, 1.0, 2 * torch.log2(1 + 15 * step / steps)),
    "one-cycle": _one_cycle,
}
