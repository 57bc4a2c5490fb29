"""The built-in network as a `torch.nn.Module`: it is exported, served and loaded.

The engine trains the same parameters without autograd. This module defines their names, initial
values and meaning, and under autograd it is the reference that the engine is tested against.
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
from harness.models.activations import ACTIVATIONS
from harness.models.custom import CustomModel
from harness.models.ensemble import Ensemble, average_models
from harness.models.fold_weights import split_folds
from harness.models.normalization import NormalizedModel
from harness.trial import TargetTransform, TrialSpec, derive_seed


class MLP(NormalizedModel):
    """A multilayer perceptron: raw examples in, logits out.

    Input [B, *shape] of any real dtype (images as uint8), flattened to [B, D] and normalized as
    (x - mean) * inv_std, two buffers of shape [D]. Output float [B, classes], or [B, 1] for a
    regression. The initial weights depend on `spec.seed` alone.
    """

    def __init__(
        self,
        spec: TrialSpec,
        classes: int,
        mean: Tensor,
        inv_std: Tensor,
        dtype: torch.dtype = torch.float32,
        target: TargetTransform | None = None,
    ) -> None:
        super().__init__(mean, inv_std, dtype, target)
        widths = (mean.numel(), *spec.hidden, classes)
        # Not nn.utils.skip_init: its first use imports sympy, 1.4 s in every worker. Linear draws
        # weights that are overwritten below; fork_rng keeps the caller's random state unchanged.
        with torch.random.fork_rng(devices=[]):
            self.linears = nn.ModuleList(
                nn.Linear(fan_in, fan_out, bias=bias, dtype=dtype)
                for (fan_in, fan_out), bias in zip(pairwise(widths), spec.layer_biases, strict=True)
            )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(width, dtype=dtype) if spec.batch_norm != "none" else nn.Identity()
            for width in spec.hidden
        )
        self.activation = ACTIVATIONS[spec.activation].module()
        self.dropout = nn.Dropout(spec.dropout)
        self.batch_norm = spec.batch_norm
        self.initialize(spec)

    def initialize(self, spec: TrialSpec) -> None:
        """Draw every Linear's weights by the scheme `spec.init`, seeded by `spec.seed`.

        `default` is nn.Linear's scheme: weights and biases uniform in ±1/sqrt(fan_in). The others
        are torch.nn.init's; their biases start at zero.
        """
        generator = torch.Generator().manual_seed(derive_seed("init", spec.seed))
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
        h = self.normalize(x)
        for linear, norm in zip(self.linears, self.norms, strict=False):
            h = linear(h)
            if self.batch_norm == "before":
                h = self.activation(norm(h))
            else:
                h = norm(self.activation(h))
            h = self.dropout(h)
        return self.to_target_units(self.linears[-1](h))


def build_model(
    spec: TrialSpec,
    classes: int,
    mean: Tensor,
    inv_std: Tensor,
    dtype: torch.dtype = torch.float32,
    target: TargetTransform | None = None,
    features: Tensor | None = None,
) -> MLP | CustomModel:
    """Build the untrained network that `spec` describes.

    For a custom model, `mean` and `inv_std` have the shape of its input, see
    `custom.network_input_shape`, and `features` is what `CustomModel` describes. Raises ConfigError
    if a custom model cannot be built.
    """
    if spec.model:
        return CustomModel(spec, classes, mean, inv_std, dtype, target, features)
    return MLP(spec, classes, mean, inv_std, dtype, target)


def load_model(spec: TrialSpec, classes: int, weights: bytes) -> MLP | CustomModel | Ensemble:
    """Load a trained network, in eval mode, from the safetensors bytes of a `TrialResult`.

    Of a trial with folds it is the mean of the folds' networks. For a regression `classes` is 0;
    the statistics of the target are in the weights.
    Raises StoreError if the bytes are not the weights of this spec (no pickle is ever read), and
    ConfigError if a custom model can no longer be built.
    """
    with warnings.catch_warnings():
        # Before safetensors 0.6 the tensors share the bytes; they are copied into the model below.
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        try:
            state = safetensors.torch.load(weights)
            if folds := split_folds(state):
                parts = [load_model(spec, classes, safetensors.torch.save(each)) for each in folds]
                return average_models(parts, spec.loss)
            target = spec.target_transform if "target_mean" in state else None
            model = build_model(
                spec,
                classes or 1,
                state["mean"],
                state["inv_std"],
                target=target,
                features=state.get("features"),
            )
            model.load_state_dict(state)
        except (safetensors.SafetensorError, KeyError, RuntimeError) as error:
            message = " ".join(str(error).split())
            model_changed = f"{spec.model} has changed since training, or " if spec.model else ""
            raise StoreError(
                f"the stored weights of {spec.describe()} cannot be loaded into it ({message}): "
                f"{model_changed}the file is damaged; run `harness doctor` to find it"
            ) from error
    return model.eval()
