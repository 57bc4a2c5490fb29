"""One optimiser step for every member, on its row of the arena.

Two ways, the same arithmetic: `Rowwise` calls torch's fused CPU kernels once a member, `Vectorised`
does all members in a dozen operations whose every coefficient is a tensor, which a CUDA graph can
replay. Penalties enter as gradients, l1 sign(p) + 2 l2 p.

The kernels behind `torch.optim.SGD(fused=True)` and `Adam(fused=True)` are called without the
classes: building one imports torch._dynamo, 3 s and 160 MiB in every worker.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from harness.engine.parameter_buffer import Rows
from harness.trial import TrialSpec

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # torch.optim.Adam's defaults

CHUNK = 2**16


class Optimizer(Protocol):
    """Both ways; the tests hold them to torch.optim."""

    def load(self, slot: int, spec: TrialSpec, steps: int) -> None:
        """A member that has done so many steps comes into a slot."""

    def begin(self, rates: Tensor) -> None:
        """An epoch starts; learning rates [steps, K], float64."""

    def step(self, step: Tensor) -> None:
        """Step number `step` of the epoch, an int64 tensor [1]."""


@dataclass
class Row:
    """One member's tensors, a list over its layers each."""

    spec: TrialSpec
    names: list[str]
    params: list[Tensor]
    grads: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]
    sign: Tensor
    """Room for the signs of CHUNK parameters, which stay in the cache."""
    steps: list[Tensor]
    """The same counter for every layer."""


class Rowwise:
    """torch's fused kernels, a member at a time: one pass over its memory each."""

    def __init__(self, arena: Rows) -> None:
        self._arena = arena
        self._rows: dict[int, Row] = {}

    def load(self, slot: int, spec: TrialSpec, steps: int) -> None:
        arena = self._arena
        names = [name for name, view in arena.param.items() if slot < len(view)]
        params, grads, first, second = (
            [views[name][slot] for name in names]
            for views in (arena.param, arena.grad, arena.first, arena.second)
        )
        sign = params[0].new_empty(CHUNK)
        counters = [torch.tensor(float(steps))] * len(names)
        self._rows[slot] = Row(spec, names, params, grads, first, second, sign, counters)

    def begin(self, rates: Tensor) -> None:
        self._rates = iter(rates.tolist())

    def step(self, step: Tensor) -> None:
        rates, elsewhere = next(self._rates), self._arena.elsewhere
        for slot, row in self._rows.items():
            pairs = zip(row.names, row.grads, strict=True)
            grads = [elsewhere.get(name, grad) for name, grad in pairs] if elsewhere else row.grads
            if row.spec.l1:
                _add_signs(row, grads)
            if row.spec.optimizer == "sgd":
                self._sgd(row, grads, rates[slot])
            else:
                self._adam(row, grads, rates[slot])

    def _adam(self, row: Row, grads: list[Tensor], rate: float) -> None:
        spec = row.spec
        decoupled = spec.optimizer == "adamw"
        if decoupled and spec.l2:
            torch._foreach_add_(grads, row.params, alpha=2 * spec.l2)
        row.steps[0].add_(1)
        kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
        kernel(
            row.params,
            grads,
            row.first,
            row.second,
            [],
            row.steps,
            lr=rate,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=spec.weight_decay if decoupled else 2 * spec.l2,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def _sgd(self, row: Row, grads: list[Tensor], rate: float) -> None:
        spec = row.spec
        torch._fused_sgd_(
            row.params,
            grads,
            row.first if spec.momentum else [],
            weight_decay=2 * spec.l2,
            momentum=spec.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=spec.nesterov and spec.momentum > 0,
            maximize=False,
            is_first_step=False,  # the buffer starts at zero, so the first step fills it
        )


def _add_signs(row: Row, grads: list[Tensor]) -> None:
    """The gradient of l1 sum |p|: of large tensors a piece at a time, so that its signs stay in the
    cache; a temporary as large as the network, taken every step, cost more than the arithmetic."""
    small_params, small_grads = [], []
    for param, grad in zip(row.params, grads, strict=True):
        if param.numel() <= CHUNK:
            small_params.append(param)
            small_grads.append(grad)
            continue
        flat = param.view(-1), grad.view(-1)
        for piece, room in zip(*(torch.split(each, CHUNK) for each in flat), strict=True):
            room.add_(torch.sign(piece, out=row.sign[: len(piece)]), alpha=row.spec.l1)
    if small_params:
        torch._foreach_add_(small_grads, torch._foreach_sign(small_params), alpha=row.spec.l1)


class Vectorised:
    """All rows at once. SGD and Adam are one formula with different coefficients, [K, 1] each:

    m <- keep m + take g
    v <- BETA2 v + (root g)^2
    p <- shrink p - size (from_m m + from_g g) / (scale sqrt(v) + floor)
    """

    def __init__(self, arena: Rows, steps: int) -> None:
        self._arena = arena
        slots = arena.layout.slots
        self._fixed = arena.params.new_zeros(8, slots, 1)
        """l1, 2 l2, keep, take, root, from_m, from_g, floor; zeros leave an empty slot alone."""
        self._fixed[7] = 1
        self._by_step = arena.params.new_zeros(steps, 3, slots)
        """shrink, size and scale of each step of this epoch."""
        self._done = torch.zeros(slots, dtype=torch.float64)
        self._decay = torch.zeros_like(self._done)
        self._adaptive = torch.zeros(slots, dtype=torch.bool)

    def load(self, slot: int, spec: TrialSpec, steps: int) -> None:
        sgd, momentum = spec.optimizer == "sgd", spec.momentum
        self._done[slot], self._adaptive[slot] = steps, not sgd
        self._decay[slot] = spec.weight_decay if spec.optimizer == "adamw" else 0.0
        nesterov = spec.nesterov and momentum > 0
        if sgd:
            moments = (momentum, 1.0, 0.0, momentum if nesterov else 1.0, float(nesterov), 1.0)
        else:
            moments = (BETA1, 1 - BETA1, math.sqrt(1 - BETA2), 1.0, 0.0, EPSILON)
        self._fixed[:, slot, 0] = self._fixed.new_tensor((spec.l1, 2 * spec.l2, *moments))

    def begin(self, rates: Tensor) -> None:
        counts = self._done + torch.arange(1, len(rates) + 1).unsqueeze(1)  # [steps, K]
        size = torch.where(self._adaptive, rates / (1 - BETA1**counts), rates)
        scale = torch.where(self._adaptive, (1 - BETA2**counts).rsqrt(), 0)
        table = torch.stack([1 - rates * self._decay, size, scale], dim=1)
        self._by_step.copy_(table)  # in place: a captured graph reads it
        self._done += len(rates)

    def step(self, step: Tensor) -> None:
        arena = self._arena
        p, g, m, v = arena.params, arena.grads, arena.first_moment, arena.second_moment
        l1, twice_l2, keep, take, root, from_m, from_g, floor = self._fixed
        shrink, size, scale = self._by_step.index_select(0, step)[0].unsqueeze(2)
        g.addcmul_(p.sign(), l1).addcmul_(p, twice_l2)
        p.mul_(shrink)
        m.mul_(keep).addcmul_(g, take)
        rooted = g * root
        v.mul_(BETA2).addcmul_(rooted, rooted)
        numerator = (g * from_g).addcmul_(m, from_m).mul_(size)
        p.addcdiv_(numerator, v.sqrt().mul_(scale).add_(floor), value=-1)


def penalty(spec: TrialSpec, params: Tensor) -> float:
    """l1 * sum |p| + l2 * sum p^2 of one member's row."""
    l1 = spec.l1 * params.abs().sum().item() if spec.l1 else 0.0
    return l1 + (spec.l2 * params.square().sum().item() if spec.l2 else 0.0)
