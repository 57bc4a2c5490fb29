"""The parameters of K members as the rows of one [K, P] buffer, every layer a view into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from harness.engine.padding import Layout
from harness.trial import TrialSpec

Named = dict[str, Tensor]
"""Tensors by the names of `MLP`'s state dict."""


@dataclass
class State:
    """All that training has made of one member, unpadded: enough to go on in any slot."""

    params: Named
    first_moment: Named = field(default_factory=dict)
    """Empty before the first step, as are the others: zeros, and BatchNorm's initial statistics."""
    second_moment: Named = field(default_factory=dict)
    statistics: Named = field(default_factory=dict)
    """BatchNorm's running means and variances."""


class Rows(Protocol):
    """What an optimiser reads and writes: K members' parameters and what belongs to them.

    [K, P] each, and by name as views [K, *shape] into them.
    """

    layout: Layout
    params: Tensor
    grads: Tensor
    first_moment: Tensor
    second_moment: Tensor
    param: Named
    grad: Named
    first: Named
    second: Named
    elsewhere: Named
    """Gradients that were left where they came to be, without K."""


class ParameterBuffer:
    """Parameters, gradients, moments and BatchNorm statistics of K padded networks.

    One flat row a member lets an optimiser treat all of a member's layers as one tensor, and a
    member be copied, kept or replaced in one move. The padding is zero: zero gradients, moments
    and penalties keep it so. Views carry the names of `MLP`'s state dict with the slots in front,
    `linears.0.weight` is [K, H, D]; the output layer, at another depth in each member, is
    `linears.out`.
    """

    def __init__(
        self,
        layout: Layout,
        inputs: int,
        classes: int,
        device: torch.device,
        dtype: torch.dtype,
        lone: bool = False,
    ) -> None:
        self.layout = layout
        shapes, statistics = _shapes(layout, inputs, classes)
        size = sum(shape.numel() for _, shape in shapes.values())
        self.params = torch.zeros(layout.slots, size, dtype=dtype, device=device)
        self.grads, self.first_moment, self.second_moment = (
            torch.zeros_like(self.params) for _ in range(3)
        )
        self.param = views_of(self.params, shapes)
        self.grad = views_of(self.grads, shapes)
        self.lone = lone
        """Whether gradients may be left where they came to be: in `elsewhere`, without K."""
        self.elsewhere: Named = {}
        self.first = views_of(self.first_moment, shapes)
        self.second = views_of(self.second_moment, shapes)
        self.statistic = {
            name: torch.zeros(shape, dtype=dtype, device=device)
            for name, shape in statistics.items()
        }

    def load(self, slot: int, spec: TrialSpec, state: State) -> None:
        """Put a member into a slot; what was there is gone."""
        for flat in (self.params, self.grads, self.first_moment, self.second_moment):
            flat[slot].zero_()
        for views, named in (
            (self.param, state.params),
            (self.first, state.first_moment),
            (self.second, state.second_moment),
        ):
            own = self._cut(views, slot, spec)
            for name, tensor in named.items():
                own[name].copy_(tensor)
        for name, view in self.statistic.items():
            if slot < len(view):
                view[slot].fill_(1.0 if name.endswith("running_var") else 0.0)
        own = self._cut(self.statistic, slot, spec)
        for name, tensor in state.statistics.items():
            own[name].copy_(tensor)

    def unload(self, slot: int, spec: TrialSpec) -> State:
        """Copies of what a slot's member is made of, without the padding."""
        params, first, second, statistics = (
            {name: view.clone() for name, view in self._cut(views, slot, spec).items()}
            for views in (self.param, self.first, self.second, self.statistic)
        )
        return State(params, first, second, statistics)

    def weights(self, slot: int, spec: TrialSpec) -> Named:
        """Copies of a member's parameters and statistics, by the names of `MLP`'s state dict."""
        own = self._cut(self.param, slot, spec) | self._cut(self.statistic, slot, spec)
        return {name: view.clone() for name, view in own.items()}

    def _cut(self, views: Named, slot: int, spec: TrialSpec) -> Named:
        """The member's own part of each view; views, not copies."""
        own: Named = {}
        depth, biases = len(spec.hidden), spec.layer_biases
        for name, view in views.items():
            kind, layer, part = name.split(".")
            index = depth if layer == "out" else int(layer)
            if (layer != "out" and index >= depth) or (
                kind == "linears" and part == "bias" and not biases[index]
            ):
                continue
            if kind == "norms" and spec.batch_norm == "none":
                continue
            rows = spec.hidden[index] if index < depth else view.shape[1]
            tensor = view[slot, :rows]
            if part == "weight" and kind == "linears" and index:
                tensor = tensor[:, : spec.hidden[index - 1]]
            own[f"{kind}.{index}.{part}"] = tensor
        return own


def _shapes(
    layout: Layout, inputs: int, classes: int
) -> tuple[dict[str, tuple[int, torch.Size]], dict[str, torch.Size]]:
    """Parameters by name: (slots that have them, shape of one); statistics: the whole shape."""
    shapes: dict[str, tuple[int, torch.Size]] = {}
    statistics: dict[str, torch.Size] = {}
    below = inputs
    for layer, width in enumerate(layout.widths):
        slots = layout.prefix(layer)
        shapes[f"linears.{layer}.weight"] = slots, torch.Size((width, below))
        if layout.biases[layer]:
            shapes[f"linears.{layer}.bias"] = slots, torch.Size((width,))
        if layout.batch_norms != ("none",):
            for part in ("weight", "bias"):
                shapes[f"norms.{layer}.{part}"] = slots, torch.Size((width,))
            for part in ("running_mean", "running_var"):
                statistics[f"norms.{layer}.{part}"] = torch.Size((slots, width))
        below = width
    shapes["linears.out.weight"] = layout.slots, torch.Size((classes, layout.top(inputs)))
    if layout.biases[-1]:
        shapes["linears.out.bias"] = layout.slots, torch.Size((classes,))
    return shapes, statistics


def views_of(flat: Tensor, shapes: dict[str, tuple[int, torch.Size]]) -> Named:
    """Cut a [K, P] buffer into {name: [slots, *shape]} views, in order."""
    views, start = {}, 0
    for name, (slots, shape) in shapes.items():
        stop = start + shape.numel()
        views[name] = flat[:slots, start:stop].view(slots, *shape)
        start = stop
    return views
