"""A custom model: the user's own `torch.nn.Module` in place of the MLP."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import ConfigError, did_you_mean
from harness.model_arguments import ARGUMENT_PREFIX, describe_model
from harness.models.normalization import NormalizedModel
from harness.models.user_code import describe_error, load_class
from harness.trial import TargetTransform, TrialSpec, derive_seed


class CustomModel(NormalizedModel):
    """A wrapper of the user's module: raw examples in, logits out.

    `network` is an instance of the class `spec.model`. Its input is float [B, *shape], normalized
    as (x - mean) * inv_std, two buffers of that shape: [channels, height, width] for images (one
    channel for gray images), else [features]. Its output is float [B, classes];
    in training also [B, members, classes], of several networks at once.

    The class is constructed with `spec.arguments` and with those of these that its signature
    names: `classes` (their number), `shape` (as above) and `inputs` (the product of `shape`). If
    the signature requires `features` and no argument sets it, it gets a list: for each input 0 if
    it is a number, and n if it is one of the 0-or-1 inputs of the n-th category; all are numbers if
    the data is no table. The list also becomes a buffer, because a loaded model needs it.

    The initial weights depend on `spec.seed` alone: torch's generators are seeded while the module
    is constructed. Raises ConfigError if it cannot be constructed or its output has another shape.
    """

    def __init__(
        self,
        spec: TrialSpec,
        classes: int,
        mean: Tensor,
        inv_std: Tensor,
        dtype: torch.dtype = torch.float32,
        target: TargetTransform | None = None,
        features: Tensor | None = None,
    ) -> None:
        super().__init__(mean, inv_std, dtype, target)
        model_class = load_class(spec.model, spec.code)
        name = describe_model(spec.model, spec.arguments)
        if not (isinstance(model_class, type) and issubclass(model_class, nn.Module)):
            kind = "class" if isinstance(model_class, type) else type(model_class).__name__
            raise ConfigError(f"model: {spec.model} is a {kind}, not a torch.nn.Module")
        if features is None:
            features = torch.zeros(mean.numel(), dtype=torch.int64)
        data: dict[str, Any] = {
            "classes": classes,
            "shape": tuple(mean.shape),
            "inputs": mean.numel(),
        }
        if _requires_features(model_class, spec.arguments):
            data["features"] = features.tolist()
            self.register_buffer("features", features.clone())
        arguments = _constructor_arguments(model_class, dict(spec.arguments), data)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(derive_seed("init", spec.seed))
            try:
                self.network: nn.Module = model_class(**arguments).to(dtype).eval()
            except Exception as error:
                raise ConfigError(
                    f"model: {name} cannot be constructed: {describe_error(error)}"
                ) from error
            _check_output(self.network, name, torch.zeros(2, *mean.shape, dtype=dtype), classes)
        if not any(parameter.requires_grad for parameter in self.network.parameters()):
            raise ConfigError(f"model: {name} has no parameters to train")
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        return self.to_target_units(self.network(self.normalize(x)))


def network_input_shape(example: Sequence[int]) -> tuple[int, ...]:
    """Return the shape in which a network gets one example: gray images get a channel axis."""
    return (1, *example) if len(example) == 2 else tuple(example)


def _requires_features(model_class: type, arguments: Iterable[tuple[str, Any]]) -> bool:
    """Whether the constructor needs `features` of the data.

    It may be an argument of another meaning, which has a default or a value of the study.
    """
    if "features" in dict(arguments):
        return False
    try:
        parameter = inspect.signature(model_class).parameters.get("features")
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.default is parameter.empty


def _constructor_arguments(
    model_class: type, arguments: dict[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Merge the user's arguments with those facts of the data that the constructor names.

    Raises ConfigError for an unknown argument, or a required one that is missing.
    """
    try:
        parameters = inspect.signature(model_class).parameters
    except (TypeError, ValueError):  # not written in Python
        return arguments
    named = [p for p in parameters.values() if p.kind is not p.VAR_KEYWORD]
    names = [p.name for p in named if p.kind is not p.VAR_POSITIONAL]
    takes_any = len(named) < len(parameters)
    for name in arguments:
        if name not in names and not takes_any:
            raise ConfigError(
                f"{ARGUMENT_PREFIX}{name}: {model_class.__name__} takes no such argument"
                f"{did_you_mean(name, names)}"
            )
    values = {name: data[name] for name in names if name in data} | arguments
    for parameter in named:
        required = parameter.name in names and parameter.default is parameter.empty
        if required and parameter.name not in values:
            raise ConfigError(
                f"{ARGUMENT_PREFIX}{parameter.name}: {model_class.__name__} requires it; set it in "
                "[train], or list values to try in [space]. Only inputs, shape, classes and "
                "features are filled in from the data"
            )
    return values


def _check_output(network: nn.Module, name: str, batch: Tensor, classes: int) -> None:
    """Check the output's shape on a batch of two examples, which also initializes lazy modules."""
    shape = list(batch.shape)
    try:
        out = network(batch)
    except Exception as error:
        raise ConfigError(
            f"model: {name} fails on input of shape {shape}: {describe_error(error)}"
        ) from error
    if not isinstance(out, Tensor):
        raise ConfigError(
            f"model: {name} returns a {type(out).__name__} for input of shape {shape}, not a "
            "tensor of logits"
        )
    if list(out.shape) != [2, classes]:
        meaning = f"logits of {classes} classes" if classes > 1 else "the output of a regression"
        raise ConfigError(
            f"model: {name} returns shape {list(out.shape)} for input of shape {shape}; {meaning} "
            f"must have shape {[2, classes]}"
        )
