"""Each activation and its derivative, as the kernels that autograd itself would call.

Forward takes the pre-activation z and returns h; backward takes dh, z and h and returns dz. The
constants are torch.nn's defaults.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

aten = torch.ops.aten

FORWARD: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": lambda z: aten.leaky_relu(z, 0.01),
    "elu": lambda z: aten.elu(z),
    "gelu": lambda z: aten.gelu(z),
    "silu": lambda z: aten.silu(z),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}

BACKWARD: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "relu": lambda dh, z, h: aten.threshold_backward(dh, h, 0),
    "leaky_relu": lambda dh, z, h: aten.leaky_relu_backward(dh, z, 0.01, False),
    "elu": lambda dh, z, h: aten.elu_backward(dh, 1.0, 1.0, 1.0, False, z),
    "gelu": lambda dh, z, h: aten.gelu_backward(dh, z),
    "silu": lambda dh, z, h: aten.silu_backward(dh, z),
    "tanh": lambda dh, z, h: aten.tanh_backward(dh, h),
    "sigmoid": lambda dh, z, h: aten.sigmoid_backward(dh, h),
}

NOT_ZERO_AT_ZERO = {"sigmoid"}
"""Their padded columns must be masked; the others keep a zero."""


def forward(z: Tensor, members: dict[str, Tensor]) -> Tensor:
    """Each member's own activation of z [B, K, H]; `members` are masks [1, K, 1] by name."""
    (first, _), *others = members.items()
    h = FORWARD[first](z)
    for name, mask in others:
        h = torch.where(mask[:, : z.shape[1]], FORWARD[name](z), h)
    return h


def backward(dh: Tensor, z: Tensor, h: Tensor, members: dict[str, Tensor]) -> Tensor:
    (first, _), *others = members.items()
    dz = BACKWARD[first](dh, z, h)
    for name, mask in others:
        dz = torch.where(mask[:, : z.shape[1]], BACKWARD[name](dh, z, h), dz)
    return dz
