"""One optimiser step for each member, on its whole row of the arena, by torch's fused kernels.

The kernels behind `torch.optim.SGD(fused=True)` and `Adam(fused=True)` are called without the
classes: building one imports torch._dynamo, 3 s and 160 MiB in every worker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from harness.engine.arena import Arena
from harness.trial import TrialSpec

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # torch.optim.Adam's defaults


class Optimizer:
    """Moments and step counts of K members. Penalties enter as gradients: l1 sign(p) + 2 l2 p."""

    def __init__(self, specs: Sequence[TrialSpec], arena: Arena) -> None:
        self.specs = list(specs)
        self.arena = arena
        self.first_moment = torch.zeros_like(arena.params)
        self.second_moment = torch.zeros_like(arena.params)
        self.steps = [torch.zeros((), device=arena.params.device) for _ in specs]

    def step(self, learning_rates: Sequence[float]) -> None:
        params, grads = self.arena.params, self.arena.grads
        for member, (spec, rate) in enumerate(zip(self.specs, learning_rates, strict=True)):
            param, grad = params[member], grads[member]
            if spec.l1:
                grad.add_(param.sign(), alpha=spec.l1)
            if spec.optimizer == "adam":
                self._adam(member, param, grad, rate, 2 * spec.l2)
            else:
                self._sgd(member, param, grad, rate, 2 * spec.l2, spec.momentum)

    def _adam(self, member: int, param: Tensor, grad: Tensor, rate: float, decay: float) -> None:
        self.steps[member] += 1
        torch._fused_adam_(
            [param],
            [grad],
            [self.first_moment[member]],
            [self.second_moment[member]],
            [],
            [self.steps[member]],
            lr=rate,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def _sgd(
        self, member: int, param: Tensor, grad: Tensor, rate: float, decay: float, momentum: float
    ) -> None:
        torch._fused_sgd_(
            [param],
            [grad],
            [self.first_moment[member]] if momentum else [],
            weight_decay=decay,
            momentum=momentum,
            lr=rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,  # the buffer starts at zero, so the first step fills it
        )

    def penalties(self) -> list[float]:
        """l1 * sum |p| + l2 * sum p^2 of each member, as its parameters stand."""
        return [
            spec.l1 * row.abs().sum().item() + spec.l2 * row.square().sum().item()
            if spec.l1 or spec.l2
            else 0.0
            for spec, row in zip(self.specs, self.arena.params, strict=True)
        ]


def learning_rate(spec: TrialSpec, step: int, steps: int) -> float:
    """The rate of step `step` of `steps`, both over the whole training, counted from 0.

    `cosine` is torch's CosineAnnealingLR with eta_min 0, stepped every batch.
    """
    if spec.schedule == "cosine":
        return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
    return spec.learning_rate
