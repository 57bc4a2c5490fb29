"""The network as a `torch.nn.Module`: what is exported, served and loaded; the engine's oracle.

The engine trains the same parameters without autograd; this module gives them their names, their
initial values and their meaning.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from itertools import pairwise

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from harness.errors import StoreError
from harness.models.custom import CustomModel
from harness.models.normalization import Normalised
from harness.trial import TrialSpec, derived_seed

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class MLP(Normalised):
    """Raw examples in, logits out.

    Input [B, *shape] of any real dtype (images as the uint8 they are), flattened to [B, D] and
    normalised as (x - mean) * inv_std, two buffers of shape [D]; output float [B, classes], of a
    regression [B, 1]. The initial weights are a function of `spec.seed` alone.
    """

    def __init__(
        self,
        spec: TrialSpec,
        classes: int,
        mean: Tensor,
        inv_std: Tensor,
        dtype: torch.dtype = torch.float32,
        target: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(mean, inv_std, dtype, target)
        widths = (mean.numel(), *spec.hidden, classes)
        # Not nn.utils.skip_init: its first use imports sympy, 1.4 s in every worker. What Linear
        # draws for itself is overwritten below, and the caller's random state left as it was.
        with torch.random.fork_rng(devices=[]):
            self.linears = nn.ModuleList(
                nn.Linear(fan_in, fan_out, bias=bias, dtype=dtype)
                for (fan_in, fan_out), bias in zip(pairwise(widths), spec.layer_biases, strict=True)
            )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(width, dtype=dtype) if spec.batch_norm != "none" else nn.Identity()
            for width in spec.hidden
        )
        self.activation = ACTIVATIONS[spec.activation]()
        self.dropout = nn.Dropout(spec.dropout)
        self.batch_norm = spec.batch_norm
        self.initialise(spec)

    def initialise(self, spec: TrialSpec) -> None:
        """Draw every Linear's weights from `spec.init`, seeded by `spec.seed`.

        `default` is nn.Linear's own: weights and biases uniform in ±1/sqrt(fan_in). The named
        schemes follow torch.nn.init; their biases start at zero.
        """
        generator = torch.Generator().manual_seed(derived_seed("init", spec.seed))
        draw: dict[str, Callable[..., Tensor]] = {
            "xavier_uniform": nn.init.xavier_uniform_,
            "xavier_normal": nn.init.xavier_normal_,
            "kaiming_uniform": nn.init.kaiming_uniform_,
            "kaiming_normal": nn.init.kaiming_normal_,
        }
        for linear in self.linears:
            assert isinstance(linear, nn.Linear)
            if spec.init == "default":
                bound = 1 / math.sqrt(linear.in_features)
                nn.init.uniform_(linear.weight, -bound, bound, generator=generator)
                if linear.bias is not None:
                    nn.init.uniform_(linear.bias, -bound, bound, generator=generator)
            elif spec.init.startswith("kaiming"):
                draw[spec.init](linear.weight, nonlinearity="relu", generator=generator)
            else:
                draw[spec.init](linear.weight, generator=generator)
            if spec.init != "default" and linear.bias is not None:
                nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.normalised(x)
        for linear, norm in zip(self.linears, self.norms, strict=False):
            h = linear(h)
            if self.batch_norm == "before":
                h = self.activation(norm(h))
            else:
                h = norm(self.activation(h))
            h = self.dropout(h)
        return self.in_units(self.linears[-1](h))


def made(
    spec: TrialSpec,
    classes: int,
    mean: Tensor,
    inv_std: Tensor,
    dtype: torch.dtype = torch.float32,
    target: tuple[float, float] | None = None,
) -> MLP | CustomModel:
    """The network that a spec describes, with its initial weights; for a model of one's own `mean`
    has the shape that it is given. Raises ConfigError where such a model cannot be made."""
    return (CustomModel if spec.model else MLP)(spec, classes, mean, inv_std, dtype, target)


def load_model(spec: TrialSpec, classes: int, weights: bytes) -> MLP | CustomModel:
    """The trained network from the safetensors bytes of a `TrialResult`, in eval mode.

    Of a regression `classes` is 0, and the weights tell its target's mean and standard deviation.
    Raises StoreError for other bytes, no pickle is ever read; ConfigError where a model of one's
    own cannot be made any more.
    """
    with warnings.catch_warnings():
        # Before safetensors 0.6 the tensors share the bytes; they are copied into the model below.
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        try:
            state = safetensors.torch.load(weights)
            target = (0.0, 1.0) if "target_mean" in state else None
            model = made(spec, classes or 1, state["mean"], state["inv_std"], target=target)
            model.load_state_dict(state)
        except (safetensors.SafetensorError, KeyError, RuntimeError) as error:
            said = " ".join(str(error).split())
            changed = f"{spec.model} was changed since, or " if spec.model else ""
            raise StoreError(
                f"the weights kept of {spec.describe()} are no safetensors of it ({said}); "
                f"{changed}`harness doctor` finds which"
            ) from error
    return model.eval()
