"""One optimizer step for every slot, each on its row of the parameter buffer.

Two implementations of the same arithmetic. `Rowwise` calls torch's fused CPU kernels once a slot.
`Vectorised` steps all slots in a dozen operations whose coefficients are all tensors, so a CUDA
graph can replay them. Penalties enter as gradients, l1 sign(p) + 2 l2 p.

Rowwise calls the kernels behind `torch.optim.SGD(fused=True)` and `Adam(fused=True)` directly:
constructing one of these classes imports torch._dynamo, 3 s and 160 MiB in every worker.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from harness.engine.parameter_buffer import ParameterRows
from harness.trial import TrialSpec

BETA1, EPSILON = 0.9, 1e-8  # torch.optim.Adam's defaults

CHUNK = 2**16
"""Parameters whose signs are computed at once for the l1 penalty."""


class Optimizer(Protocol):
    """The interface of both implementations; tests hold them to torch.optim."""

    def load(self, slot: int, spec: TrialSpec, steps: int) -> None:
        """Put a trial that has done `steps` steps into a slot."""

    def begin_epoch(self, rates: Tensor) -> None:
        """Start an epoch with these learning rates, float64 [steps, K]."""

    def step(self, step: Tensor) -> None:
        """Do step number `step` of the epoch, an int64 tensor [1]."""


@dataclass
class OptimizerRow:
    """One trial's tensors, each a list over its layers."""

    spec: TrialSpec
    names: list[str]
    params: list[Tensor]
    grads: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]
    signs: Tensor
    """Scratch space for the signs of CHUNK parameters; it stays in the cache."""
    steps_done: int
    """Steps before this epoch."""
    counters: Iterator[Tensor]
    """The step counter of each step of this epoch that is still to do."""


class Rowwise:
    """torch's fused kernels, one slot at a time: one pass over each slot's memory.

    Slots that all have the same settings, as the folds of a trial, are one row of all parameters.
    """

    def __init__(self, buffer: ParameterRows) -> None:
        self._buffer = buffer
        self._rows: dict[int, OptimizerRow] = {}
        self._stepped: Mapping[int, OptimizerRow] = {}
        """The rows of this epoch's steps: `_rows`, or the one of all slots."""

    def load(self, slot: int, spec: TrialSpec, steps: int) -> None:
        buffer = self._buffer
        names = [name for name, view in buffer.param_views.items() if slot < len(view)]
        params, grads, first, second = (
            [views[name][slot] for name in names]
            for views in (
                buffer.param_views,
                buffer.grad_views,
                buffer.first_views,
                buffer.second_views,
            )
        )
        signs = params[0].new_empty(CHUNK)
        self._rows[slot] = OptimizerRow(
            spec, names, params, grads, first, second, signs, steps, iter(())
        )

    def begin_epoch(self, rates: Tensor) -> None:
        self._rates = iter(rates.tolist())
        self._stepped = self._rows if self._differ(rates) else {0: self._join_rows()}
        for row in self._stepped.values():
            steps = torch.arange(1, len(rates) + 1, dtype=torch.float32) + row.steps_done
            row.counters = iter(steps.unbind())
        for row in self._rows.values():
            row.steps_done += len(rates)

    def _differ(self, rates: Tensor) -> bool:
        """Whether slots are empty or padded, or their trials differ in more than their seed."""
        layout, rows = self._buffer.layout, list(self._rows.values())
        if layout.slots == 1 or not layout.exact or len(rows) < layout.slots:
            return True
        states = {(replace(row.spec, seed=0), row.steps_done) for row in rows}
        return len(states) > 1 or bool((rates != rates[:, :1]).any())

    def _join_rows(self) -> OptimizerRow:
        """Return the parameters of all slots as one row."""
        buffer, first = self._buffer, self._rows[0]
        params, grads, m, v = (
            [flat.view(-1)]
            for flat in (buffer.params, buffer.grads, buffer.first_moment, buffer.second_moment)
        )
        return replace(first, names=["all"], params=params, grads=grads, first=m, second=v)

    def step(self, step: Tensor) -> None:
        rates, external = next(self._rates), self._buffer.external_grads
        for slot, row in self._stepped.items():
            pairs = zip(row.names, row.grads, strict=True)
            grads = [external.get(name, grad) for name, grad in pairs] if external else row.grads
            if row.spec.l1:
                _add_l1_gradient(row, grads)
            if row.spec.optimizer == "sgd":
                self._sgd(row, grads, rates[slot])
            else:
                self._adam(row, grads, rates[slot])

    def _adam(self, row: OptimizerRow, grads: list[Tensor], rate: float) -> None:
        spec = row.spec
        decoupled = spec.optimizer == "adamw"
        if decoupled and spec.l2:
            torch._foreach_add_(grads, row.params, alpha=2 * spec.l2)
        kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
        kernel(
            row.params,
            grads,
            row.first,
            row.second,
            [],
            [next(row.counters)] * len(grads),
            lr=rate,
            beta1=BETA1,
            beta2=spec.beta2,
            weight_decay=spec.weight_decay if decoupled else 2 * spec.l2,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def _sgd(self, row: OptimizerRow, grads: list[Tensor], rate: float) -> None:
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


def _add_l1_gradient(row: OptimizerRow, grads: list[Tensor]) -> None:
    """Add the gradient of l1 sum |p|.

    Large tensors are done in chunks, so that the signs stay in the cache: a temporary as large as
    the network, allocated every step, cost more than the arithmetic.
    """
    small_params, small_grads = [], []
    for param, grad in zip(row.params, grads, strict=True):
        if param.numel() <= CHUNK:
            small_params.append(param)
            small_grads.append(grad)
            continue
        param_chunks, grad_chunks = (torch.split(each.view(-1), CHUNK) for each in (param, grad))
        for param_chunk, grad_chunk in zip(param_chunks, grad_chunks, strict=True):
            signs = torch.sign(param_chunk, out=row.signs[: len(param_chunk)])
            grad_chunk.add_(signs, alpha=row.spec.l1)
    if small_params:
        torch._foreach_add_(small_grads, torch._foreach_sign(small_params), alpha=row.spec.l1)


class Vectorised:
    """All slots at once. SGD and Adam are one formula with different coefficients, [K, 1] each:

    m <- keep m + take g
    v <- beta2 v + (root g)^2
    p <- shrink p - size (from_m m + from_g g) / (scale sqrt(v) + floor)
    """

    def __init__(self, buffer: ParameterRows, steps: int) -> None:
        self._buffer = buffer
        slots = buffer.layout.slots
        self._coefficients = buffer.params.new_zeros(9, slots, 1)
        """[9, K, 1]: l1, 2 l2, keep, take, root, from_m, from_g, floor, beta2.

        Zeros leave an empty slot unchanged."""
        self._coefficients[7] = 1
        self._step_coefficients = buffer.params.new_zeros(steps, 3, slots)
        """[steps, 3, K]: shrink, size and scale of each step of this epoch."""
        self._steps_done = torch.zeros(slots, dtype=torch.float64)
        self._decay = torch.zeros_like(self._steps_done)
        self._beta2 = torch.zeros_like(self._steps_done)
        self._adaptive = torch.zeros(slots, dtype=torch.bool)

    def load(self, slot: int, spec: TrialSpec, steps: int) -> None:
        sgd, momentum = spec.optimizer == "sgd", spec.momentum
        self._steps_done[slot], self._adaptive[slot] = steps, not sgd
        self._decay[slot] = spec.weight_decay if spec.optimizer == "adamw" else 0.0
        self._beta2[slot] = spec.beta2
        nesterov = spec.nesterov and momentum > 0
        if sgd:
            # keep, take, root, from_m, from_g, floor
            moments = (momentum, 1.0, 0.0, momentum if nesterov else 1.0, float(nesterov), 1.0)
        else:
            moments = (BETA1, 1 - BETA1, math.sqrt(1 - spec.beta2), 1.0, 0.0, EPSILON)
        self._coefficients[:, slot, 0] = self._coefficients.new_tensor(
            (spec.l1, 2 * spec.l2, *moments, spec.beta2)
        )

    def begin_epoch(self, rates: Tensor) -> None:
        steps = self._steps_done + torch.arange(1, len(rates) + 1).unsqueeze(1)  # [steps, K]
        size = torch.where(self._adaptive, rates / (1 - BETA1**steps), rates)
        scale = torch.where(self._adaptive, (1 - self._beta2**steps).rsqrt(), 0)
        table = torch.stack([1 - rates * self._decay, size, scale], dim=1)
        self._step_coefficients.copy_(table)  # in place: a captured graph reads it
        self._steps_done += len(rates)

    def step(self, step: Tensor) -> None:
        buffer = self._buffer
        p, g, m, v = buffer.params, buffer.grads, buffer.first_moment, buffer.second_moment
        l1, twice_l2, keep, take, root, from_m, from_g, floor, beta2 = self._coefficients
        shrink, size, scale = self._step_coefficients.index_select(0, step)[0].unsqueeze(2)
        g.addcmul_(p.sign(), l1).addcmul_(p, twice_l2)
        p.mul_(shrink)
        m.mul_(keep).addcmul_(g, take)
        rooted = g * root
        v.mul_(beta2).addcmul_(rooted, rooted)
        numerator = (g * from_g).addcmul_(m, from_m).mul_(size)
        p.addcdiv_(numerator, v.sqrt().mul_(scale).add_(floor), value=-1)


def compute_penalty(spec: TrialSpec, params: Tensor) -> float:
    """Return l1 * sum |p| + l2 * sum p^2 of one trial's row."""
    l1 = spec.l1 * params.abs().sum().item() if spec.l1 else 0.0
    return l1 + (spec.l2 * params.square().sum().item() if spec.l2 else 0.0)
