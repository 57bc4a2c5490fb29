"""The activations: each one's torch module, and its forward and backward kernels.

The MLP uses the modules, the engine the kernels that autograd would call for them. To add an
activation, add its name to `harness.trial.Activation` and its entry here; tests/engine then holds
its kernels to autograd. The constants are torch.nn's defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

aten = torch.ops.aten
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@dataclass(frozen=True)
class Activation:
    """One activation h = f(z)."""

    module: type[nn.Module]
    forward: Callable[[Tensor], Tensor]
    """z to h."""
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]
    """(dh, z, h) to dz."""
    keeps_zero: bool = True
    """Whether f(0) = 0. Otherwise the engine masks padded columns."""
    fused_in_onednn: bool = False
    """Whether oneDNN may compute it inside the matrix product, under this entry's name. Only for an
    activation whose derivative needs h alone: z is not kept. oneDNN's tanh takes a tenth of the
    time of torch.tanh."""


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(
        nn.ReLU,
        torch.relu,
        lambda dh, z, h: aten.threshold_backward(dh, h, 0),
        fused_in_onednn=True,
    ),
    "leaky_relu": Activation(
        nn.LeakyReLU,
        lambda z: aten.leaky_relu(z, 0.01),
        lambda dh, z, h: aten.leaky_relu_backward(dh, z, 0.01, False),
    ),
    "elu": Activation(
        nn.ELU,
        lambda z: aten.elu(z),
        lambda dh, z, h: aten.elu_backward(dh, 1.0, 1.0, 1.0, False, z),
    ),
    "selu": Activation(
        nn.SELU,
        lambda z: aten.elu(z, SELU_ALPHA, SELU_SCALE),
        lambda dh, z, h: aten.elu_backward(dh, SELU_ALPHA, SELU_SCALE, 1.0, False, z),
    ),
    "gelu": Activation(
        nn.GELU,
        lambda z: aten.gelu(z),
        lambda dh, z, h: aten.gelu_backward(dh, z),
    ),
    "silu": Activation(
        nn.SiLU,
        lambda z: aten.silu(z),
        lambda dh, z, h: aten.silu_backward(dh, z),
    ),
    "mish": Activation(
        nn.Mish,
        lambda z: aten.mish(z),
        lambda dh, z, h: aten.mish_backward(dh, z),
    ),
    "tanh": Activation(
        nn.Tanh,
        torch.tanh,
        lambda dh, z, h: aten.tanh_backward(dh, h),
        fused_in_onednn=True,
    ),
    "sigmoid": Activation(
        nn.Sigmoid,
        torch.sigmoid,
        lambda dh, z, h: aten.sigmoid_backward(dh, h),
        keeps_zero=False,
        fused_in_onednn=True,
    ),
}
