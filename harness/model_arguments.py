"""A custom model as a setting: its name, and its constructor's arguments as plain values."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

BUILT_IN_FIELDS = ("hidden", "activation", "batch_norm", "bias", "init", "dropout")
"""The TrialSpec fields that describe the built-in network; a custom model has none of them."""
BUILT_IN_MODULES = {
    "tabular": "harness.models.tabular:TabularNet",
    "conv": "harness.models.conv:ConvNet",
}
"""The classes of harness that `model` names by a word: modules as custom models are."""
ARGUMENT_PREFIX = "arguments."
"""Prefix of a model argument's name among other settings."""
CONV_BLOCKS = 3
"""Blocks of `conv` unless `blocks` or a list of `channels` sets them."""


def flatten_arguments(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table of a study file with the keys `arguments.<name>`, in whichever way they are written.

    TOML reads `arguments.channels = 16` as a table `arguments` in the table.
    """
    key = ARGUMENT_PREFIX.rstrip(".")
    arguments = table.get(key)
    if not isinstance(arguments, dict):
        return dict(table)
    rest = {name: value for name, value in table.items() if name != key}
    return rest | {ARGUMENT_PREFIX + name: value for name, value in arguments.items()}


def find_model(
    train: Mapping[str, Any], space: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """{"model": ...} to check [train] with, if [space] or the [[trial]] tables name the model."""
    sampled = space.get("model")
    names = sampled if isinstance(sampled, list) else []
    if any(key.startswith(ARGUMENT_PREFIX) for key in train):
        # Only then: other fixed fields may be for those trials that have the built-in network.
        names = [*names, *(table.get("model") for table in trials)]
    models = [name for name in names if isinstance(name, str) and name]
    return {"model": models[0]} if models else {}


def check_sampled_names(names: Collection[str], model: str) -> None:
    """Raise ValueError if one of the sampled `names` does not fit the model."""
    arguments = [name for name in names if name.startswith(ARGUMENT_PREFIX)]
    if arguments and not model:
        raise ValueError(explain_missing_model(arguments[0].removeprefix(ARGUMENT_PREFIX)))
    for name in names:
        if model and name in (*BUILT_IN_FIELDS, "depth", "width"):
            raise ValueError(explain_built_in_field(name, model))


def check_model_name(model: str) -> None:
    """Raise ValueError if `model` is neither a built-in module nor `package.module:Class`."""
    if model in BUILT_IN_MODULES:
        return
    module, colon, name = model.partition(":")
    if not colon or not all(word.isidentifier() for word in (*module.split("."), name)):
        corrected = module.removesuffix(".py").strip("./").replace("/", ".") + colon + name
        words = " or ".join(map(repr, BUILT_IN_MODULES))
        advice = f"write nets:SmallConv for the class SmallConv in nets.py, or {words}"
        if colon and corrected != model:
            advice = f"did you mean {corrected!r}?"
        elif similar := difflib.get_close_matches(model, BUILT_IN_MODULES, 1):
            advice = f"did you mean {similar[0]!r}?"
        raise ValueError(f"model: {model!r} is not written as package.module:Class; {advice}")


def explain_missing_model(argument: str) -> str:
    """The error for an argument without a custom model."""
    return (
        f"{ARGUMENT_PREFIX}{argument}: the built-in network takes no arguments; to use another "
        'model, add model = "conv", "tabular" or "package.module:Class"'
    )


def explain_built_in_field(name: str, model: str) -> str:
    """The error for a field of the built-in network in a trial with a custom model."""
    return (
        f"{name}: is for the built-in network, but the model is {model}; leave it out, and give "
        f"the arguments of the class as {ARGUMENT_PREFIX}<name>"
    )


def freeze(value: Any) -> Any:
    """A plain value in a form that can be hashed and compared: lists become tuples.

    Raises ValueError for any other value.
    """
    if isinstance(value, list | tuple):
        return tuple(map(freeze, value))
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"must be true, false, a number, a string or a list, not {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"must be finite, not {value!r}")
    return value


def unfreeze(value: Any) -> Any:
    """Turn the tuples of `freeze` back into lists."""
    return list(map(unfreeze, value)) if isinstance(value, tuple) else value


def describe_model(model: str, arguments: tuple[tuple[str, Any], ...]) -> str:
    """`SmallConv(channels=16, kernels=5-3)`, or a module of harness by its layers and choices.

    As in `tabular 2x128 mish piecewise · members=4` or `conv 32-64-128 silu · dropout=0.2`.
    """
    values = {name: _format_argument(value) for name, value in arguments}
    if model in BUILT_IN_MODULES:
        plain = dict(arguments)
        if type(plain.get("channels")) is int and type(plain.get("blocks", 1)) is int:
            channels = list_channels(plain["channels"], plain.get("blocks"))
            values["channels"] = "-".join(map(str, channels))
            values.pop("blocks", None)
        return _describe_built_in(model, values)
    listed = ", ".join(f"{name}={value}" for name, value in values.items())
    return f"{model.rpartition(':')[2]}({listed})"


def list_channels(channels: Any, blocks: Any = None) -> list[int]:
    """Return the channels of each block of `conv`: doubled from block to block, or those listed."""
    if isinstance(channels, list | tuple):
        return list(channels)
    return [channels * 2**block for block in range(CONV_BLOCKS if blocks is None else blocks)]


def _describe_built_in(model: str, values: dict[str, str]) -> str:
    """Name the layers and the choices first: a line of a terminal has room for little more."""
    words = [model]
    if "depth" in values and "width" in values:
        words.append(f"{values.pop('depth')}x{values.pop('width')}")
    words += [values.pop(name) for name in ("channels", "activation", "numbers") if name in values]
    return " · ".join([" ".join(words), *(f"{name}={value}" for name, value in values.items())])


def _format_argument(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(_format_argument, value)) or "[]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
