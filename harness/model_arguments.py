"""A model of one's own as a setting: its name, and its constructor's arguments as plain values."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

BUILT_IN = ("hidden", "activation", "batch_norm", "bias", "init", "dropout")
"""Fields of a TrialSpec that describe the built-in network; a model of one's own has none."""
ARGUMENT = "arguments."
"""Before the name of a model's argument, wherever settings stand by name."""


def by_name(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table of a study file with `arguments.<name>` as keys, however they were written."""
    own = table.get(ARGUMENT.rstrip("."))
    if not isinstance(own, dict):
        return dict(table)
    rest = {key: value for key, value in table.items() if value is not own}
    return rest | {ARGUMENT + key: value for key, value in own.items()}


def model_elsewhere(
    train: Mapping[str, Any], space: Mapping[str, Any], listed: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """{"model": ...} to check [train] with, where [space] or the [[trial]] tables have it."""
    sampled = space.get("model")
    names = sampled if isinstance(sampled, list) else []
    if any(key.startswith(ARGUMENT) for key in train):
        # Without: what is fixed may be meant for those trials that have the built-in network.
        names = [*names, *(table.get("model") for table in listed)]
    found = [name for name in names if isinstance(name, str) and name]
    return {"model": found[0]} if found else {}


def check_sampled(names: Collection[str], model: str) -> None:
    """Raises ValueError where what [space] samples by these names does not fit the model."""
    own = [name for name in names if name.startswith(ARGUMENT)]
    if own and not model:
        raise ValueError(no_model(own[0].removeprefix(ARGUMENT)))
    for name in names:
        if model and name in (*BUILT_IN, "depth", "width"):
            raise ValueError(not_its_own(name, model))


def check_name(model: str) -> None:
    """Raises ValueError where `model` is not written as `package.module:Class`."""
    module, colon, name = model.partition(":")
    if not colon or not all(word.isidentifier() for word in (*module.split("."), name)):
        given = module.removesuffix(".py").strip("./").replace("/", ".") + colon + name
        write = "write nets:SmallConv for the class SmallConv in nets.py"
        if colon and given != model:
            write = f"did you mean {given!r}?"
        raise ValueError(f"model: {model!r} is no package.module:Class; {write}")


def no_model(argument: str) -> str:
    """Why an argument cannot be given without a model."""
    return (
        f"{ARGUMENT}{argument}: the built-in network takes no arguments; name a model of your own "
        'beside it, model = "package.module:Class"'
    )


def not_its_own(name: str, model: str) -> str:
    """Why a field of the built-in network cannot be set beside a model."""
    return (
        f"{name}: is of the built-in network, and the model is {model}; leave it out, what the "
        f"class itself takes stands under {ARGUMENT.rstrip('.')}"
    )


def frozen(value: Any) -> Any:
    """A plain value that can be hashed and compared: lists as tuples.

    Raises ValueError for what is none.
    """
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"{value!r} is none of true, false, a number, a text or a list of these")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return value


def thawed(value: Any) -> Any:
    """What `frozen` made, with lists again."""
    return list(map(thawed, value)) if isinstance(value, tuple) else value


def described(model: str, arguments: tuple[tuple[str, Any], ...]) -> str:
    """`SmallConv(channels=16, kernels=5-3)`."""
    given = ", ".join(f"{name}={_short(value)}" for name, value in arguments)
    return f"{model.rpartition(':')[2]}({given})"


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(_short, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
