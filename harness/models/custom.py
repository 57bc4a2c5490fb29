"""A network of the user's own as a `torch.nn.Module` that takes raw examples, as MLP does."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import ConfigError, did_you_mean
from harness.model_arguments import ARGUMENT, described
from harness.models.normalization import Normalised
from harness.models.user_code import in_words, load_class
from harness.trial import TrialSpec, derived_seed


class CustomModel(Normalised):
    """Raw examples in, logits out: `network`, an instance of the class that `spec.model` names.

    Input [B, *example] of any real dtype, as it is in the dataset. The network is given float
    [B, *shape], normalised as (x - mean) * inv_std, two buffers of that shape: [channels, height,
    width] of pictures, a grey one having one channel, else [features]. Its output is float
    [B, classes].

    Its constructor is given `spec.arguments`, and of these what its signature names beside them:
    `classes`, how many there are; `shape`, as above; `inputs`, the product of that.

    The initial weights are a function of `spec.seed`: torch's generators are seeded while it is
    made. Raises ConfigError where it cannot be made, or does not give logits of that shape.
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
        found = load_class(spec.model, spec.code)
        called = described(spec.model, spec.arguments)
        if not (isinstance(found, type) and issubclass(found, nn.Module)):
            kind = "class" if isinstance(found, type) else type(found).__name__
            raise ConfigError(f"model: {spec.model} is a {kind}, and no torch.nn.Module")
        data = {"classes": classes, "shape": tuple(mean.shape), "inputs": mean.numel()}
        given = _given(found, dict(spec.arguments), data)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(derived_seed("init", spec.seed))
            try:
                self.network: nn.Module = found(**given).to(dtype).eval()
            except Exception as error:
                raise ConfigError(f"model: {called} cannot be made: {in_words(error)}") from error
            _check_output(self.network, called, torch.zeros(2, *mean.shape, dtype=dtype), classes)
        if not any(parameter.requires_grad for parameter in self.network.parameters()):
            raise ConfigError(f"model: {called} has no parameters to train")
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        return self.in_units(self.network(self.normalised(x)))


def shape_of(example: Sequence[int]) -> tuple[int, ...]:
    """What a network is given of an example of this shape: a grey picture gets a channel."""
    return (1, *example) if len(example) == 2 else tuple(example)


def _given(found: type, arguments: dict[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """What its constructor is called with. Raises ConfigError for names that it does not have."""
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):  # not written in Python
        return arguments
    named = [each for each in parameters.values() if each.kind is not each.VAR_KEYWORD]
    names = [each.name for each in named if each.kind is not each.VAR_POSITIONAL]
    for name in arguments if len(named) == len(parameters) else ():
        if name not in names:
            raise ConfigError(
                f"{ARGUMENT}{name}: {found.__name__} takes no such argument"
                f"{did_you_mean(name, names)}"
            )
    given = {name: data[name] for name in names if name in data} | arguments
    for each in named:
        if each.name in names and each.default is each.empty and each.name not in given:
            raise ConfigError(
                f"{ARGUMENT}{each.name}: {found.__name__} needs it; give it in [train], or in "
                "[space] what to try"
            )
    return given


def _check_output(network: nn.Module, called: str, batch: Tensor, classes: int) -> None:
    """By two examples; lazy modules find out their shapes by them too."""
    shape = list(batch.shape)
    try:
        out = network(batch)
    except Exception as error:
        raise ConfigError(f"model: {called} cannot take {shape}: {in_words(error)}") from error
    if not isinstance(out, Tensor):
        raise ConfigError(
            f"model: {called} gives a {type(out).__name__} for {shape}, and no tensor of logits"
        )
    if list(out.shape) != [2, classes]:
        wanted = f"logits of {classes} classes are" if classes > 1 else "a regression's output is"
        raise ConfigError(
            f"model: {called} gives {list(out.shape)} for a batch of {shape}; {wanted} "
            f"{[2, classes]}"
        )
