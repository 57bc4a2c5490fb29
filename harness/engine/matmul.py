"""The matrix products of a step: where nearly all of its time goes.

Two ways. `Batched` multiplies all members of a cell in one call of torch's own product, on any
device. `Single` is for one member on a CPU in float32: larger products go to oneDNN, which torch
brings along and which torch.mm does not ask. Measured on one thread of an AMD EPYC (Zen 5), where
MKL leaves the wide vector units alone: 64x784x300 in 163 us instead of 330, 1024x1024x1024 at 210
GFLOP/s instead of 99; but 11 us more a call, so that products below 2.5 MFLOP stay with torch.mm.
"""

from __future__ import annotations

import platform
from typing import Protocol

import torch
from torch import Tensor

from harness.engine.parameter_buffer import ParameterBuffer

ONEDNN_FLOPS = 2.5e6
FUSED = {"relu", "tanh", "sigmoid"}
"""Activations whose derivative needs their value alone, so that oneDNN may keep the rest to itself:
its tanh takes a tenth of the time of torch.tanh."""


class Matmul(Protocol):
    """h is [B, K, in], dz [B, K, out]; `layer` names an arena's Linear, each member has its own."""

    def forward(self, layer: str, h: Tensor) -> Tensor:
        """h weight^T + bias: [B, K, out], contiguous."""

    def activated(self, layer: str, h: Tensor, activation: str) -> Tensor | None:
        """The activation of `forward`, where both can be had in one go."""

    def weight_gradient(self, layer: str, dz: Tensor, h: Tensor) -> None:
        """dz^T h into the arena's gradients."""

    def input_gradient(self, layer: str, dz: Tensor) -> Tensor:
        """dz weight: [B, K, in], contiguous."""


class Batched:
    """All members in one call."""

    def __init__(self, arena: ParameterBuffer) -> None:
        self._weight = _linears(arena, "weight")  # [K, out, in]
        self._transposed = {name: weight.transpose(1, 2) for name, weight in self._weight.items()}
        self._bias = {name: bias.unsqueeze(1) for name, bias in _linears(arena, "bias").items()}
        self._grad = arena.grad

    def forward(self, layer: str, h: Tensor) -> Tensor:
        weight, bias = self._transposed[layer], self._bias.get(layer)
        z = h.new_empty(h.shape[0], h.shape[1], weight.shape[2])
        if bias is None:
            torch.bmm(h.transpose(0, 1), weight, out=z.transpose(0, 1))
        else:
            torch.baddbmm(bias, h.transpose(0, 1), weight, out=z.transpose(0, 1))
        return z

    def activated(self, layer: str, h: Tensor, activation: str) -> Tensor | None:
        return None

    def weight_gradient(self, layer: str, dz: Tensor, h: Tensor) -> None:
        torch.bmm(dz.permute(1, 2, 0), h.transpose(0, 1), out=self._grad[f"{layer}.weight"])

    def input_gradient(self, layer: str, dz: Tensor) -> Tensor:
        weight = self._weight[layer]
        dh = dz.new_empty(dz.shape[0], dz.shape[1], weight.shape[2])
        torch.bmm(dz.transpose(0, 1), weight, out=dh.transpose(0, 1))
        return dh


class Single:
    """K = 1 on a CPU in float32."""

    def __init__(self, arena: ParameterBuffer) -> None:
        self._small = Batched(arena)
        self._weight = {name: weight[0] for name, weight in _linears(arena, "weight").items()}
        self._transposed = {name: weight.t() for name, weight in self._weight.items()}
        self._bias = {name: bias[0] for name, bias in _linears(arena, "bias").items()}
        self._elsewhere = arena.elsewhere
        self._linear = torch.ops.mkldnn._linear_pointwise.default

    def forward(self, layer: str, h: Tensor) -> Tensor:
        weight = self._weight[layer]
        if _is_small(h, weight):
            return self._small.forward(layer, h)
        return self._product(h[:, 0], weight, self._bias.get(layer)).unsqueeze(1)

    def activated(self, layer: str, h: Tensor, activation: str) -> Tensor | None:
        weight = self._weight[layer]
        if activation not in FUSED or _is_small(h, weight):
            return None
        return self._product(h[:, 0], weight, self._bias.get(layer), activation).unsqueeze(1)

    def weight_gradient(self, layer: str, dz: Tensor, h: Tensor) -> None:
        if _is_small(h, self._weight[layer]):
            self._small.weight_gradient(layer, dz, h)
        else:
            self._elsewhere[f"{layer}.weight"] = self._product(dz[:, 0].t(), h[:, 0].t())

    def input_gradient(self, layer: str, dz: Tensor) -> Tensor:
        if _is_small(dz, self._weight[layer]):
            return self._small.input_gradient(layer, dz)
        return self._product(dz[:, 0], self._transposed[layer]).unsqueeze(1)

    def _product(
        self, a: Tensor, b: Tensor, bias: Tensor | None = None, activation: str = "none"
    ) -> Tensor:
        """activation(a b^T + bias)."""
        product: Tensor = self._linear(a, b, bias, activation, [], "")
        return product


def products_for(arena: ParameterBuffer) -> Matmul:
    """The same on every machine of a kind, never by a measurement: bits must not depend on it."""
    params = arena.params
    plain = arena.lone and params.device.type == "cpu" and params.dtype == torch.float32
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return Single(arena) if plain and x86 and onednn else Batched(arena)


def _linears(arena: ParameterBuffer, part: str) -> dict[str, Tensor]:
    """By layer name: `linears.0`, `linears.out`."""
    return {
        name.removesuffix(f".{part}"): view
        for name, view in arena.param.items()
        if name.startswith("linears") and name.endswith(part)
    }


def _is_small(examples: Tensor, weight: Tensor) -> bool:
    return 2 * len(examples) * weight.numel() < ONEDNN_FLOPS
