"""Check the values of a study file; a mistake becomes one line that names the key and the value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, PositiveInt, TypeAdapter, ValidationError

from harness.errors import did_you_mean
from harness.model_arguments import ARGUMENT_PREFIX, freeze
from harness.trial import TrialSpec

T = TypeVar("T", bound=BaseModel)

LAYER_KEYS = ("depth", "width")
"""The keys of [space] that are no TrialSpec field: together they give `hidden`."""
EXPECTED = {"hidden": "must be a list of widths such as [300, 100]"}
"""What a field must be, where pydantic's own words do not help."""
NAME_RULE = (
    "must be letters, digits, '.', '_' and '-', at most 100, and begin with a letter or a digit"
)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """pydantic's parser of a type; made when it is first needed, it takes 50 ms."""
    return TypeAdapter(kind)


def parse_table(model: type[T], values: Mapping[str, Any]) -> T:
    """Parse a table of a study file. Raises ValueError("key: what is wrong")."""
    try:
        return model.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise ValueError(describe_error(error, model)) from None


def parse_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """TrialSpec fields with the types that they have there: a list becomes a tuple.

    Raises ValueError("field: what is wrong") for a wrong type, for a value out of range, and for
    values that contradict each other.
    """
    fields = {name: value for name, value in values.items() if not name.startswith(ARGUMENT_PREFIX)}
    try:
        spec = _adapter(TrialSpec).validate_json(json.dumps(fields, default=str), strict=True)
    except ValidationError as error:
        raise ValueError(describe_error(error)) from None
    return {
        name: getattr(spec, name) if name in fields else _parse_argument(name, value)
        for name, value in values.items()
    }


def parse_value(name: str, value: Any) -> Any:
    """Parse one value of a TrialSpec field, of `depth` or of `width`. Raises ValueError."""
    if name not in LAYER_KEYS:
        return parse_fields({name: value})[name]
    try:
        return _adapter(PositiveInt).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        raise ValueError(f"{name}: {describe_error(error)}") from None


def describe_error(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """The first problem in one line, such as `trials: input should be a valid integer, not 'x'`.

    Unknown keys come first: a misspelt key explains why another one is missing.
    """
    problem = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        return (
            f"{key}: unknown key{did_you_mean(location[-1], model.model_fields if model else ())}"
        )
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error" and not location:
        return message  # a check of the table as a whole, which names the key itself
    message = message[0].lower() + message[1:]
    message = EXPECTED.get(key, message)
    if problem["type"] == "string_pattern_mismatch":
        message = NAME_RULE
    if problem["type"] not in ("missing", "value_error"):
        message += f", not {problem['input']!r}"
    return f"{key}: {message}" if key else message


def _parse_argument(name: str, value: Any) -> Any:
    try:
        return freeze(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
