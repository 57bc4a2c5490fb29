"""The search space: the [space] table, and an Optuna trial -> TrialSpec.

Every range is read here and nowhere else. A list is a choice, a table a range:

    batch_size = [64, 128]
    learning_rate = { low = 1e-4, high = 1e-1, log = true }
    l1 = { low = 1e-7, high = 1e-3, log = true, zero = 0.5 }

`depth` and `width` are the two names that are no TrialSpec field: a width is drawn for each layer,
and together they give `hidden`. Those of a model of one's own are called `arguments.<name>`; what a
range of them holds is told by its ends: `{ low = 8, high = 32 }` are whole numbers.

`zero` is the share of draws that are exactly 0. The range is extended downwards, on its log scale,
by that share, and what falls below `low` means 0: one dimension for the sampler, no condition.
"""

from __future__ import annotations

import itertools
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from harness.errors import did_you_mean
from harness.model_arguments import ARGUMENT, frozen
from harness.trial import SPEC_FIELDS, TrialSpec

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

LAYERS = {"depth": int, "width": int}
TYPES: dict[str, Any] = typing.get_type_hints(TrialSpec) | LAYERS
UNSAMPLED = ("seed", "arguments", "code")
SAMPLED = tuple(name for name in (*SPEC_FIELDS, *LAYERS) if name not in UNSAMPLED)
NEVER_SAMPLED = "the seed is the study's, the same for every trial, so that their noise is paired"


class Range(BaseModel):
    """A numeric range, both ends included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    high: float
    log: bool = False
    zero: float = 0.0

    @property
    def extended_low(self) -> float:
        """Where the range starts once a share `zero` of its log scale lies below `low`."""
        return float(self.low * (self.low / self.high) ** (self.zero / (1 - self.zero)))


class Whole(Range):
    """Of whole numbers, by how its ends are written: of an argument nothing else tells."""

    low: int
    high: int


@dataclass(frozen=True)
class Choice:
    """A finite set of values, in the file's order."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Space:
    """What is sampled, by name."""

    dimensions: Mapping[str, Range | Choice]

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Space:
        """Read a [space] table. Raises ValueError('key: what is wrong') at the first mistake."""
        dimensions = {name: _dimension(name, value) for name, value in table.items()}
        if ("depth" in dimensions) != ("width" in dimensions):
            given, lacking = ("depth", "width") if "depth" in dimensions else ("width", "depth")
            raise ValueError(f"{given}: needs '{lacking}' beside it")
        if "depth" in dimensions and "hidden" in dimensions:
            raise ValueError("hidden: sampled twice; leave out either it or 'depth' and 'width'")
        return cls(dimensions)

    @property
    def fields(self) -> frozenset[str]:
        """The TrialSpec fields that are sampled."""
        return frozenset("hidden" if name in LAYERS else name for name in self.dimensions)

    def suggest(self, trial: BaseTrial, fixed: Mapping[str, Any]) -> TrialSpec:
        """Draw every dimension, in the file's order, and complete it with the fixed fields."""
        values = dict(fixed)
        for name, dimension in self.dimensions.items():
            if name == "depth":
                depth = self._draw(trial, "depth", dimension)
                values["hidden"] = tuple(
                    self._draw(trial, f"width_{layer}", self.dimensions["width"], "width")
                    for layer in range(1, depth + 1)
                )
            elif name != "width":
                values[name] = self._draw(trial, name, dimension)
        return TrialSpec.from_dict(values)

    def _draw(
        self, trial: BaseTrial, name: str, dimension: Range | Choice, field: str | None = None
    ) -> Any:
        if isinstance(dimension, Choice):
            # Optuna keeps scalars only: other values are drawn by their JSON.
            by_key = {_key(value): value for value in dimension.values}
            return by_key[trial.suggest_categorical(name, tuple(by_key))]
        if isinstance(dimension, Whole) or TYPES.get(field or name) is int:
            low, high = int(dimension.low), int(dimension.high)
            return trial.suggest_int(name, low, high, log=dimension.log)
        drawn = trial.suggest_float(name, dimension.extended_low, dimension.high, log=dimension.log)
        return drawn if drawn >= dimension.low else 0.0

    def grid(self) -> list[dict[str, Any]]:
        """Every combination of the choices, as `suggest` draws them; the last one varies fastest.

        Raises ValueError('key: what is wrong') where the space has no grid.
        """
        axes: list[list[dict[str, Any]]] = []
        for name in self.dimensions:
            values = self._values(name)
            if name == "depth":
                widths = [_key(width) for width in self._values("width")]
                axes.append(
                    [
                        {"depth": depth}
                        | {f"width_{layer}": width for layer, width in enumerate(drawn, 1)}
                        for depth in values
                        for drawn in itertools.product(widths, repeat=depth)
                    ]
                )
            elif name != "width":
                axes.append([{name: _key(value)} for value in values])
        return [
            {name: value for part in parts for name, value in part.items()}
            for parts in itertools.product(*axes)
        ]

    def _values(self, name: str) -> tuple[Any, ...]:
        dimension = self.dimensions[name]
        if isinstance(dimension, Range):
            raise ValueError(f"{name}: a grid needs a list of values, not a range")
        return dimension.values

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for comparing and showing."""
        return {
            name: list(dimension.values)
            if isinstance(dimension, Choice)
            else dimension.model_dump(exclude_defaults=True)
            for name, dimension in self.dimensions.items()
        }


def check_value(name: str, value: Any) -> Any:
    """`value` as the field's type, lists as tuples. Raises ValueError('name: what is wrong')."""
    if name.startswith(ARGUMENT):
        try:
            return frozen(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    try:
        parsed = TypeAdapter(TYPES[name]).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        wanted = _lower(error.errors()[0]["msg"])
        if name == "hidden":
            wanted = "must be a list of widths such as [300, 100]"
        raise ValueError(f"{name}: {wanted}, not {value!r}") from None
    except TypeError:
        raise ValueError(f"{name}: {value!r} is no value for it") from None
    if name in LAYERS:
        if parsed < 1:
            raise ValueError(f"{name}: must be at least 1, not {parsed}")
    else:
        TrialSpec(**{name: parsed})
    return parsed


def _dimension(name: str, value: Any) -> Range | Choice:
    if name == "seed":
        raise ValueError(f"seed: cannot be sampled; {NEVER_SAMPLED}")
    if name == ARGUMENT.rstrip("."):
        raise ValueError(f"{name}: must be a table such as {{ channels = [8, 16] }}, not {value!r}")
    if name not in SAMPLED and not name.startswith(ARGUMENT):
        raise ValueError(f"{name}: unknown key{did_you_mean(name, SAMPLED)}")
    if isinstance(value, Sequence) and not isinstance(value, str):
        if not value:
            raise ValueError(f"{name}: an empty choice; give at least one value")
        values = tuple(check_value(name, item) for item in value)
        for item in values:
            if values.count(item) > 1:
                raise ValueError(f"{name}: {_key(item)} is there twice; leave out one of them")
        return Choice(values)
    if not isinstance(value, Mapping):
        raise ValueError(
            f"{name}: {value!r} is neither a list (a choice) nor a table (a range); "
            "a fixed value belongs into [train]"
        )
    return _range(name, value)


def _range(name: str, value: Mapping[str, Any]) -> Range:
    own = name.startswith(ARGUMENT)
    ends = [value.get(end) for end in ("low", "high")]
    whole = all(type(end) is int for end in ends) if own else TYPES[name] is int
    if not own and TYPES[name] not in (int, float):
        raise ValueError(f"{name}: takes a list of values, not a range")
    for key in value:
        if key not in Range.model_fields:
            raise ValueError(f"{name}.{key}: unknown key{did_you_mean(key, Range.model_fields)}")
    try:
        kind = Whole if own and whole else Range
        parsed = kind.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join([name, *map(str, problem["loc"])])
        raise ValueError(f"{key}: {_lower(problem['msg'])}") from None
    if not parsed.low < parsed.high:
        raise ValueError(f"{name}: low = {parsed.low:g} must be below high = {parsed.high:g}")
    if parsed.log and parsed.low <= 0:
        raise ValueError(
            f"{name}: a log range must start above 0, not at {parsed.low:g}"
            + ("; to draw exact zeros, add zero = 0.5" if name in ("l1", "l2") else "")
        )
    if not 0 <= parsed.zero < 1 or (parsed.zero and not parsed.log):
        raise ValueError(f"{name}.zero: a share in [0, 1) of a log range, not {parsed.zero:g}")
    if parsed.zero and whole:
        raise ValueError(f"{name}.zero: only for real numbers")
    for end in (parsed.low, parsed.high):
        check_value(name, int(end) if whole and float(end).is_integer() else end)
    return parsed


def _key(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else json.dumps(value)


def _lower(message: str) -> str:
    """pydantic's sentence as the middle of ours."""
    return message[0].lower() + message[1:]
