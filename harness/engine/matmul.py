"""The matrix products of a training step, which take nearly all of its time.

Two implementations. `BatchedMatmul` multiplies for all slots in one call of torch's batched
product, on any device. `OneDnnMatmul` is for one slot on a CPU in float32: it sends large products
to oneDNN, which torch ships with but torch.mm does not use. Measured on one thread of an AMD EPYC
(Zen 5), where MKL leaves the wide vector units idle: 64x784x300 in 163 us instead of 330, and
1024x1024x1024 at 210 GFLOP/s instead of 99. A call costs 11 us more, so products below 2.5 MFLOP
stay with torch.mm.
"""

from __future__ import annotations

import platform
from typing import Protocol

import torch
from torch import Tensor

from harness.engine.parameter_buffer import ParameterBuffer
from harness.models.activations import ACTIVATIONS

ONEDNN_FLOPS = 2.5e6
"""Products of fewer floating-point operations use torch.mm."""


class Matmul(Protocol):
    """Products of a Linear layer, each slot with its own weights.

    h is [B, K, in], dz is [B, K, out]; `layer` is a layer's name in the parameter buffer.
    """

    def forward(self, layer: str, h: Tensor) -> Tensor:
        """Return h weight^T + bias: [B, K, out], contiguous."""

    def forward_activation(self, layer: str, h: Tensor, activation: str) -> Tensor | None:
        """Return the activation of `forward`, or None if the two cannot be fused."""

    def weight_gradient(self, layer: str, dz: Tensor, h: Tensor) -> None:
        """Write dz^T h into the buffer's gradients."""

    def input_gradient(self, layer: str, dz: Tensor) -> Tensor:
        """Return dz weight: [B, K, in], contiguous."""


class BatchedMatmul:
    """One batched product for all slots."""

    def __init__(self, buffer: ParameterBuffer) -> None:
        self._weight = _linear_views(buffer, "weight")  # [K, out, in]
        self._transposed = {name: weight.transpose(1, 2) for name, weight in self._weight.items()}
        self._bias = {
            name: bias.unsqueeze(1) for name, bias in _linear_views(buffer, "bias").items()
        }
        self._grads = buffer.grad_views

    def forward(self, layer: str, h: Tensor) -> Tensor:
        weight, bias = self._transposed[layer], self._bias.get(layer)
        z = h.new_empty(h.shape[0], h.shape[1], weight.shape[2])
        if bias is None:
            torch.bmm(h.transpose(0, 1), weight, out=z.transpose(0, 1))
        else:
            torch.baddbmm(bias, h.transpose(0, 1), weight, out=z.transpose(0, 1))
        return z

    def forward_activation(self, layer: str, h: Tensor, activation: str) -> Tensor | None:
        return None

    def weight_gradient(self, layer: str, dz: Tensor, h: Tensor) -> None:
        torch.bmm(dz.permute(1, 2, 0), h.transpose(0, 1), out=self._grads[f"{layer}.weight"])

    def input_gradient(self, layer: str, dz: Tensor) -> Tensor:
        weight = self._weight[layer]
        dh = dz.new_empty(dz.shape[0], dz.shape[1], weight.shape[2])
        torch.bmm(dz.transpose(0, 1), weight, out=dh.transpose(0, 1))
        return dh


class SingleMatmul(BatchedMatmul):
    """The same products for one slot: with K = 1 a result need not be written through a view."""

    def forward(self, layer: str, h: Tensor) -> Tensor:
        weight, bias, h = self._transposed[layer], self._bias.get(layer), h.transpose(0, 1)
        z = torch.bmm(h, weight) if bias is None else torch.baddbmm(bias, h, weight)
        return z.transpose(0, 1)

    def input_gradient(self, layer: str, dz: Tensor) -> Tensor:
        return torch.bmm(dz.transpose(0, 1), self._weight[layer]).transpose(0, 1)


class OneDnnMatmul:
    """One slot (K = 1) on a CPU in float32: large products by oneDNN, small ones batched."""

    def __init__(self, buffer: ParameterBuffer) -> None:
        self._small = SingleMatmul(buffer)
        self._weight = {name: weight[0] for name, weight in _linear_views(buffer, "weight").items()}
        self._transposed = {name: weight.t() for name, weight in self._weight.items()}
        self._bias = {name: bias[0] for name, bias in _linear_views(buffer, "bias").items()}
        self._external_grads = buffer.external_grads
        self._linear = torch.ops.mkldnn._linear_pointwise.default

    def forward(self, layer: str, h: Tensor) -> Tensor:
        weight = self._weight[layer]
        if _is_small(h, weight):
            return self._small.forward(layer, h)
        return self._product(h, weight, self._bias.get(layer))

    def forward_activation(self, layer: str, h: Tensor, activation: str) -> Tensor | None:
        weight = self._weight[layer]
        if not ACTIVATIONS[activation].fused_in_onednn or _is_small(h, weight):
            return None
        return self._product(h, weight, self._bias.get(layer), activation)

    def weight_gradient(self, layer: str, dz: Tensor, h: Tensor) -> None:
        if _is_small(h, self._weight[layer]):
            self._small.weight_gradient(layer, dz, h)
        else:
            product = self._product(dz.squeeze(1).t(), h.squeeze(1).t())
            self._external_grads[f"{layer}.weight"] = product

    def input_gradient(self, layer: str, dz: Tensor) -> Tensor:
        if _is_small(dz, self._weight[layer]):
            return self._small.input_gradient(layer, dz)
        return self._product(dz, self._transposed[layer])

    def _product(
        self, a: Tensor, b: Tensor, bias: Tensor | None = None, activation: str = "none"
    ) -> Tensor:
        """Return activation(a b^T + bias), over the last axis of `a`."""
        product: Tensor = self._linear(a, b, bias, activation, [], "")
        return product


def choose_matmul(buffer: ParameterBuffer) -> Matmul:
    """Choose the implementation by the platform alone.

    Never by a timing: two machines of one kind must compute the same bits.
    """
    params = buffer.params
    suits_onednn = (
        buffer.is_single and params.device.type == "cpu" and params.dtype == torch.float32
    )
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    has_onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return OneDnnMatmul(buffer) if suits_onednn and is_x86 and has_onednn else BatchedMatmul(buffer)


def _linear_views(buffer: ParameterBuffer, part: str) -> dict[str, Tensor]:
    """Return the weights or biases of all Linears by layer: `linears.0`, `linears.out`."""
    return {
        name.removesuffix(f".{part}"): view
        for name, view in buffer.param_views.items()
        if name.startswith("linears") and name.endswith(part)
    }


def _is_small(examples: Tensor, weight: Tensor) -> bool:
    return 2 * len(examples) * weight.numel() < ONEDNN_FLOPS
