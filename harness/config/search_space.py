"""The search space: the [space] table, from which an Optuna trial draws a TrialSpec.

Only this file reads ranges and choices. A list is a choice, a table a range:

    batch_size = [64, 128]
    learning_rate = { low = 1e-4, high = 1e-1, log = true }
    l1 = { low = 1e-7, high = 1e-3, log = true, zero = 0.5 }

`depth` and `width` are the two names that are not TrialSpec fields: one width is drawn for each of
`depth` layers, and together they give `hidden`. The arguments of a custom model are written
`arguments.<name>`. A range of them draws integers if both ends are written as integers, such as
`{ low = 8, high = 32 }`.

`zero` is the probability of drawing exactly 0. The range is extended downwards, on its log scale,
by that share, and a draw below `low` means 0: the sampler sees one dimension and no condition.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.config.validation import LAYER_KEYS, describe_error, parse_value
from harness.errors import did_you_mean
from harness.model_arguments import ARGUMENT_PREFIX
from harness.trial import FIELD_TYPES, TrialSpec

DIMENSION_TYPES: dict[str, Any] = FIELD_TYPES | dict.fromkeys(LAYER_KEYS, int)
NOT_SAMPLED = ("seed", "arguments", "code")
SAMPLED_KEYS = tuple(name for name in DIMENSION_TYPES if name not in NOT_SAMPLED)
"""The keys of [space], apart from `arguments.<name>`."""


class SuggestsValues(Protocol):
    """The part of an `optuna.trial.BaseTrial` that draws values."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


class Range(BaseModel):
    """A range of numbers, both ends included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    high: float
    log: bool = False
    """Draw uniformly on a log scale."""
    zero: float = Field(default=0.0, ge=0, lt=1)
    """Probability of drawing exactly 0; for a log range of real numbers."""

    @model_validator(mode="after")
    def _check_ends(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low = {self.low:g} must be below high = {self.high:g}")
        if self.log and self.low <= 0:
            hint = "" if self.low else "; `zero = 0.5` draws exact zeros too"
            raise ValueError(f"a log range must start above 0, not at {self.low:g}{hint}")
        if self.zero and not self.log:
            raise ValueError(f"zero = {self.zero:g} needs a log range: add log = true")
        return self

    def list_extremes(self) -> list[Any]:
        """Both ends of the range."""
        return [self.low, self.high]

    @property
    def extended_low(self) -> float:
        """The start of the range once a share `zero` of its log scale lies below `low`."""
        return float(self.low * (self.low / self.high) ** (self.zero / (1 - self.zero)))


class IntegerRange(Range):
    """A range of integers for a model's argument, whose type only the written ends tell."""

    low: int
    high: int


@dataclass(frozen=True)
class Choice:
    """A finite set of values, in the file's order."""

    values: tuple[Any, ...]

    def list_extremes(self) -> list[Any]:
        """The values as Optuna stores them; of numbers the smallest and the largest."""
        if all(type(value) in (int, float) for value in self.values):
            return [min(self.values), max(self.values)]
        return [_as_scalar(value) for value in self.values]


@dataclass(frozen=True)
class SearchSpace:
    """The sampled dimensions by name: TrialSpec fields, `depth` and `width`, model arguments."""

    dimensions: Mapping[str, Range | Choice]

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> SearchSpace:
        """Parse a [space] table. Raises ValueError("key: what is wrong") at the first mistake."""
        dimensions = {name: _parse_dimension(name, value) for name, value in table.items()}
        for name, other in (LAYER_KEYS, LAYER_KEYS[::-1]):
            if name in dimensions and other not in dimensions:
                raise ValueError(f"{name}: needs '{other}' too")
        if "depth" in dimensions and "hidden" in dimensions:
            raise ValueError("hidden: sampled twice; leave out either it or 'depth' and 'width'")
        return cls(dimensions)

    @property
    def sampled_fields(self) -> frozenset[str]:
        """The sampled TrialSpec fields; `depth` and `width` count as `hidden`."""
        return frozenset("hidden" if name in LAYER_KEYS else name for name in self.dimensions)

    def suggest(self, trial: SuggestsValues, fixed: Mapping[str, Any]) -> TrialSpec:
        """Draw every dimension, in the file's order, and add the fixed fields."""
        values = dict(fixed)
        for name, dimension in self.dimensions.items():
            if name == "depth":
                depth = self._suggest_value(trial, "depth", dimension)
                values["hidden"] = tuple(
                    self._suggest_value(trial, f"width_{layer}", self.dimensions["width"], "width")
                    for layer in range(1, depth + 1)
                )
            elif name != "width":
                values[name] = self._suggest_value(trial, name, dimension)
        return TrialSpec.from_dict(values)

    def _suggest_value(
        self,
        trial: SuggestsValues,
        name: str,
        dimension: Range | Choice,
        field: str | None = None,
    ) -> Any:
        """Draw the parameter `name` of the Optuna trial, a value of `field` (default: `name`)."""
        if isinstance(dimension, Choice):
            by_key = {_as_scalar(value): value for value in dimension.values}
            return by_key[trial.suggest_categorical(name, tuple(by_key))]
        if _is_integer(field or name, dimension):
            low, high = int(dimension.low), int(dimension.high)
            return trial.suggest_int(name, low, high, log=dimension.log)
        value = trial.suggest_float(name, dimension.extended_low, dimension.high, log=dimension.log)
        return value if value >= dimension.low else 0.0

    def find_params(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the Optuna parameters of these TrialSpec fields; other fields are left out.

        Raises ValueError("key: what is wrong") for a value that this space does not have.
        """
        params: dict[str, Any] = {}
        for name, dimension in self.dimensions.items():
            if name == "depth" and "hidden" in fields:
                widths = list(fields["hidden"])
                params["depth"] = _find_param("depth", dimension, len(widths))
                for layer, width in enumerate(widths, 1):
                    params[f"width_{layer}"] = _find_param("width", self.dimensions["width"], width)
            elif name not in LAYER_KEYS and name in fields:
                params[name] = _find_param(name, dimension, fields[name])
        return params

    def count_settings(self) -> int | None:
        """The number of different settings; None if a range of real numbers has no end of them."""
        count = 1
        try:
            for name in self.dimensions:
                values = self._list_values(name, with_ranges=True)
                if name == "depth":
                    widths = len(self._list_values("width", with_ranges=True))
                    count *= sum(widths**depth for depth in values)
                elif name != "width":
                    count *= len(values)
        except ValueError:
            return None
        return count

    def list_grid(self, with_ranges: bool = False) -> list[dict[str, Any]]:
        """Every combination of the choices, as Optuna parameters; the last one varies fastest.

        Args:
            with_ranges: take all values of a range of integers; otherwise it is an error.

        Raises ValueError("key: what is wrong") for a dimension that is a range.
        """
        axes: list[list[dict[str, Any]]] = []
        for name in self.dimensions:
            values = self._list_values(name, with_ranges)
            if name == "depth":
                widths = [_as_scalar(width) for width in self._list_values("width", with_ranges)]
                axes.append(
                    [
                        {"depth": depth}
                        | {f"width_{layer}": width for layer, width in enumerate(chosen, 1)}
                        for depth in values
                        for chosen in itertools.product(widths, repeat=depth)
                    ]
                )
            elif name != "width":
                axes.append([{name: _as_scalar(value)} for value in values])
        return [
            {name: value for part in parts for name, value in part.items()}
            for parts in itertools.product(*axes)
        ]

    def _list_values(self, name: str, with_ranges: bool) -> Sequence[Any]:
        dimension = self.dimensions[name]
        if isinstance(dimension, Choice):
            return dimension.values
        if with_ranges and _is_integer(name, dimension):
            return range(int(dimension.low), int(dimension.high) + 1)
        raise ValueError(f"{name}: a grid needs a list of values, not a range")

    def to_dict(self) -> dict[str, Any]:
        """The table as plain values, without what is at its default."""
        return {
            name: list(dimension.values)
            if isinstance(dimension, Choice)
            else dimension.model_dump(exclude_defaults=True)
            for name, dimension in self.dimensions.items()
        }


def _find_param(name: str, dimension: Range | Choice, value: Any) -> Any:
    """Return the value as Optuna stores it. Raises ValueError if the dimension does not have it."""
    if isinstance(dimension, Choice):
        values = [_as_scalar(each) for each in dimension.values]
        if _as_scalar(value) in values:
            return _as_scalar(value)
        raise ValueError(f"{name}: {value!r} is not one of the values in [space]")
    if dimension.zero and value == 0:
        return dimension.extended_low
    if not dimension.low <= value <= dimension.high:
        raise ValueError(
            f"{name}: {value:g} is outside {dimension.low:g} to {dimension.high:g} in [space]"
        )
    return value


def _parse_dimension(name: str, value: Any) -> Range | Choice:
    if name == "seed":
        remedy = "to repeat each setting of a grid, set seeds = 3 in [study]"
        raise ValueError(f"seed: cannot be sampled; {remedy}")
    if name == ARGUMENT_PREFIX.rstrip("."):
        raise ValueError(f"{name}: must be a table such as {{ channels = [8, 16] }}, not {value!r}")
    if name not in SAMPLED_KEYS and not name.startswith(ARGUMENT_PREFIX):
        raise ValueError(f"{name}: unknown key{did_you_mean(name, SAMPLED_KEYS)}")
    if isinstance(value, Mapping):
        return _parse_range(name, value)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(
            f"{name}: {value!r} is neither a list (a choice) nor a table (a range); "
            "put a fixed value into [train]"
        )
    if not value:
        raise ValueError(f"{name}: an empty choice; give at least one value")
    values = tuple(parse_value(name, item) for item in value)
    for item in values:
        if values.count(item) > 1:
            raise ValueError(f"{name}: {_as_scalar(item)} is listed twice; leave out one of them")
    return Choice(values)


def _parse_range(name: str, table: Mapping[str, Any]) -> Range:
    is_argument = name.startswith(ARGUMENT_PREFIX)
    if not is_argument and DIMENSION_TYPES[name] not in (int, float):
        raise ValueError(f"{name}: takes a list of values, not a range")
    ends = [table.get(end) for end in ("low", "high")]
    is_integer = (
        all(type(end) is int for end in ends) if is_argument else DIMENSION_TYPES[name] is int
    )
    model = IntegerRange if is_argument and is_integer else Range
    try:
        parsed = model.model_validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        separator = "." if error.errors()[0]["loc"] else ": "
        raise ValueError(f"{name}{separator}{describe_error(error, model)}") from None
    if parsed.zero and is_integer:
        raise ValueError(f"{name}.zero: is only for real numbers")
    for end in (parsed.low, parsed.high, *([0.0] if parsed.zero else [])):
        parse_value(name, int(end) if is_integer and float(end).is_integer() else end)
    return parsed


def _is_integer(name: str, dimension: Range) -> bool:
    return isinstance(dimension, IntegerRange) or DIMENSION_TYPES.get(name) is int


def _as_scalar(value: Any) -> Any:
    """A choice's value as Optuna stores it: lists as JSON."""
    return value if isinstance(value, str | int | float | bool) else json.dumps(value)
