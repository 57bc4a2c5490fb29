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

ONEDNN_FLOPS = 2.5e6


class Products(Protocol):
    """h is [B, K, in], dz [B, K, out], a weight [K, out, in]; each member by its own weights."""

    def forward(self, h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """h weight^T + bias: [B, K, out], contiguous."""

    def weight_gradient(self, dz: Tensor, h: Tensor, room: Tensor) -> Tensor:
        """dz^T h: [K, out, in]; in `room`, or elsewhere where that is faster."""

    def input_gradient(self, dz: Tensor, weight: Tensor) -> Tensor:
        """dz weight: [B, K, in], contiguous."""


class Batched:
    """All members in one call."""

    def forward(self, h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        z = h.new_empty(h.shape[0], h.shape[1], weight.shape[1])
        h_by_member, z_by_member = h.transpose(0, 1), z.transpose(0, 1)
        if bias is None:
            torch.bmm(h_by_member, weight.transpose(1, 2), out=z_by_member)
        else:
            bias = bias.unsqueeze(1)  # [K, 1, out]
            torch.baddbmm(bias, h_by_member, weight.transpose(1, 2), out=z_by_member)
        return z

    def weight_gradient(self, dz: Tensor, h: Tensor, room: Tensor) -> Tensor:
        torch.bmm(dz.permute(1, 2, 0), h.transpose(0, 1), out=room)
        return room

    def input_gradient(self, dz: Tensor, weight: Tensor) -> Tensor:
        dh = dz.new_empty(dz.shape[0], dz.shape[1], weight.shape[2])
        torch.bmm(dz.transpose(0, 1), weight, out=dh.transpose(0, 1))
        return dh


class Single:
    """K = 1 on a CPU in float32."""

    def __init__(self) -> None:
        self._small = Batched()
        self._linear = torch.ops.mkldnn._linear_pointwise.default

    def forward(self, h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if _is_small(len(h), weight):
            return self._small.forward(h, weight, bias)
        return self._product(h[:, 0], weight[0], None if bias is None else bias[0]).unsqueeze(1)

    def weight_gradient(self, dz: Tensor, h: Tensor, room: Tensor) -> Tensor:
        if _is_small(len(h), room):
            return self._small.weight_gradient(dz, h, room)
        return self._product(dz[:, 0].t(), h[:, 0].t()).unsqueeze(0)

    def input_gradient(self, dz: Tensor, weight: Tensor) -> Tensor:
        if _is_small(len(dz), weight):
            return self._small.input_gradient(dz, weight)
        return self._product(dz[:, 0], weight[0].t()).unsqueeze(1)

    def _product(self, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """a b^T + bias."""
        product: Tensor = self._linear(a, b, bias, "none", [], "")
        return product


def products_for(members: int, device: torch.device, dtype: torch.dtype) -> Products:
    """The same on every machine of a kind, never by a measurement: bits must not depend on it."""
    alone = members == 1 and device.type == "cpu" and dtype == torch.float32
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return Single() if alone and x86 and onednn else Batched()


def _is_small(examples: int, weight: Tensor) -> bool:
    return 2 * examples * weight[0].numel() < ONEDNN_FLOPS
