"""The parameters of K trials as rows of one [K, P] tensor, with every layer a view into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from harness.engine.padding import Layout
from harness.trial import TrialSpec

NamedTensors = dict[str, Tensor]
"""Tensors by the names of `MLP`'s state dict."""


@dataclass
class TrialTensors:
    """A trial's tensors without padding: all that is needed to continue it in any slot."""

    params: NamedTensors
    first_moment: NamedTensors = field(default_factory=dict)
    """Empty before the first step, like the two below: it then starts at zero."""
    second_moment: NamedTensors = field(default_factory=dict)
    statistics: NamedTensors = field(default_factory=dict)
    """BatchNorm's running means and variances; they start at 0 and 1."""


class ParameterRows(Protocol):
    """What an optimizer reads and writes for K slots.

    Each tensor is [K, P]; its views by layer are [K, *shape].
    """

    layout: Layout
    params: Tensor
    grads: Tensor
    first_moment: Tensor
    second_moment: Tensor
    param_views: NamedTensors
    grad_views: NamedTensors
    first_views: NamedTensors
    second_views: NamedTensors
    external_grads: NamedTensors
    """Gradients, without the axis K, that a kernel allocated itself: they replace those in
    `grad_views`."""


class ParameterBuffer:
    """Parameters, gradients, optimizer moments and BatchNorm statistics of K padded networks.

    A trial is one flat row, so an optimizer can treat all of its layers as one tensor. The padding
    is zero and stays zero: its gradients, moments and penalties are zero.

    Views have the names of `MLP`'s state dict and K in front: `linears.0.weight` is [K, H, D]. The
    output layer, whose index differs between trials, is `linears.out`.
    """

    def __init__(
        self,
        layout: Layout,
        inputs: int,
        classes: int,
        device: torch.device,
        dtype: torch.dtype,
        is_single: bool = False,
    ) -> None:
        self.layout = layout
        shapes, statistics = _shapes(layout, inputs, classes)
        size = sum(shape.numel() for _, shape in shapes.values())
        self.params = torch.zeros(layout.slots, size, dtype=dtype, device=device)
        self.grads, self.first_moment, self.second_moment = (
            torch.zeros_like(self.params) for _ in range(3)
        )
        self.param_views = cut_views(self.params, shapes)
        self.grad_views = cut_views(self.grads, shapes)
        self.is_single = is_single
        """Whether gradients may be in `external_grads`: K is 1 and the optimizer is Rowwise."""
        self.external_grads: NamedTensors = {}
        self.first_views = cut_views(self.first_moment, shapes)
        self.second_views = cut_views(self.second_moment, shapes)
        self.statistics = {
            name: torch.zeros(shape, dtype=dtype, device=device)
            for name, shape in statistics.items()
        }

    def load(self, slot: int, spec: TrialSpec, tensors: TrialTensors) -> None:
        """Put a trial into a slot, overwriting what was there."""
        for flat in (self.params, self.grads, self.first_moment, self.second_moment):
            flat[slot].zero_()
        for views, named in (
            (self.param_views, tensors.params),
            (self.first_views, tensors.first_moment),
            (self.second_views, tensors.second_moment),
        ):
            slot_views = self._slice_slot(views, slot, spec)
            for name, tensor in named.items():
                slot_views[name].copy_(tensor)
        for name, view in self.statistics.items():
            if slot < len(view):
                view[slot].fill_(1.0 if name.endswith("running_var") else 0.0)
        slot_views = self._slice_slot(self.statistics, slot, spec)
        for name, tensor in tensors.statistics.items():
            slot_views[name].copy_(tensor)

    def unload(self, slot: int, spec: TrialSpec) -> TrialTensors:
        """Return copies of a slot's tensors, without the padding."""
        params, first, second, statistics = (
            {name: view.clone() for name, view in self._slice_slot(views, slot, spec).items()}
            for views in (self.param_views, self.first_views, self.second_views, self.statistics)
        )
        return TrialTensors(params, first, second, statistics)

    def weights(self, slot: int, spec: TrialSpec) -> NamedTensors:
        """Return copies of a trial's parameters and statistics, by `MLP`'s names."""
        views = self._slice_slot(self.param_views, slot, spec)
        views |= self._slice_slot(self.statistics, slot, spec)
        return {name: view.clone() for name, view in views.items()}

    def _slice_slot(self, views: NamedTensors, slot: int, spec: TrialSpec) -> NamedTensors:
        """Return views of a slot without its padding, by `MLP`'s names."""
        slot_views: NamedTensors = {}
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
            slot_views[f"{kind}.{index}.{part}"] = tensor
        return slot_views


def _shapes(
    layout: Layout, inputs: int, classes: int
) -> tuple[dict[str, tuple[int, torch.Size]], dict[str, torch.Size]]:
    """Return the shapes by name.

    Parameters as (number of slots that have them, shape in one slot), statistics as whole shapes.
    """
    shapes: dict[str, tuple[int, torch.Size]] = {}
    statistics: dict[str, torch.Size] = {}
    below = inputs
    for layer, width in enumerate(layout.widths):
        slots = layout.slots_with_layer(layer)
        shapes[f"linears.{layer}.weight"] = slots, torch.Size((width, below))
        if layout.biases[layer]:
            shapes[f"linears.{layer}.bias"] = slots, torch.Size((width,))
        if layout.batch_norms != ("none",):
            for part in ("weight", "bias"):
                shapes[f"norms.{layer}.{part}"] = slots, torch.Size((width,))
            for part in ("running_mean", "running_var"):
                statistics[f"norms.{layer}.{part}"] = torch.Size((slots, width))
        below = width
    shapes["linears.out.weight"] = layout.slots, torch.Size((classes, layout.top_width(inputs)))
    if layout.biases[-1]:
        shapes["linears.out.bias"] = layout.slots, torch.Size((classes,))
    return shapes, statistics


def cut_views(flat: Tensor, shapes: dict[str, tuple[int, torch.Size]]) -> NamedTensors:
    """Cut a [K, P] buffer into {name: [slots, *shape]} views, in order."""
    views, start = {}, 0
    for name, (slots, shape) in shapes.items():
        stop = start + shape.numel()
        views[name] = flat[:slots, start:stop].view(slots, *shape)
        start = stop
    return views
