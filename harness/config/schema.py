"""A study, resolved: its tables, and the settings that each of its trials has."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from harness.config.search_space import LAYERS, Choice, Range, Space
from harness.results import Objective, Task
from harness.trial import TrialSpec

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

LIST = "trial"
"""The [[trial]] tables."""
NEWER = ("own_test", "classes", "drop_duplicates", "task", "target", "ignore", "size")
"""Keys of [data] that studies recorded earlier do not have."""
NO_PART = ("trials", "seeds", "timeout", "hung_after")
"""Keys of [study] that may change from one start to the next."""
GRID_OR_LIST = ("grid", "list")
"""Samplers that draw nothing: which settings are tried is known beforehand."""
MOST_TRIALS = 1_000_000
"""More is a slip of the finger, and lists of so many fill the memory."""
MOST_SEED = 2**32 - 1
"""What NumPy and scikit-learn take."""


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StudyTable(Table):
    """[study]: what is searched for, and how."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    trials: int = Field(default=50, ge=1, le=MOST_TRIALS)
    seed: int = Field(default=0, ge=0, le=MOST_SEED)
    objective: Objective = "val/accuracy"
    """Of a regression val/rmse, where the file says nothing."""
    sampler: Literal["tpe", "random", "qmc", "grid", "list"] = "tpe"
    """`grid` runs every combination of the lists in [space], `list` the [[trial]] tables, whose
    presence means it; both by default without pruning."""
    seeds: int = Field(default=1, ge=1, le=MOST_TRIALS)
    """How often a grid or list is gone through: with the seeds `seed`, `seed` + 1, ..."""
    pruner: Literal["none", "median", "successive-halving", "hyperband"] = "median"
    timeout: str | None = None
    """No trial is started after this time: `90s`, `10m`, `2h`."""
    hung_after: str = "60s"
    """A worker without an epoch for so long, and for ten times the slowest epoch, is replaced."""

    @field_validator("timeout", "hung_after")
    @classmethod
    def _is_duration(cls, value: str | None) -> str | None:
        if value is not None:
            seconds(value)
        return value


class DataTable(Table):
    """[data]: what is trained on."""

    name: str
    task: Task = "classes"
    """Whether classes are told apart or a number is foretold."""
    target: str = ""
    """The column of a table that is to be foretold."""
    ignore: list[str] = []
    """Columns of a table that are left out."""
    size: list[int] = []
    """Height and width that the pictures of a folder are brought to."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of the training part that is validated on."""
    test: float = Field(default=0.2, gt=0, lt=1)
    """Fraction of the whole held out as the test part, where the set has none of its own."""
    own_test: bool = True
    """False holds a stand-in for the test part out of the training part, `test` of it; the set's
    own is not used."""
    classes: list[str] = []
    """The classes that are kept; all where it is left out."""
    drop_duplicates: bool = False
    """Leave out of the training part what stands in the validation or test part too, byte for
    byte."""
    split_seed: int = Field(default=0, ge=0, le=MOST_SEED)
    normalize: bool = True
    """Subtract the training part's mean and divide by its standard deviation."""

    @field_validator("size")
    @classmethod
    def _is_size(cls, value: list[int]) -> list[int]:
        if value and (len(value) != 2 or min(value) < 1):
            raise ValueError(f"must be [height, width], such as [28, 28], not {value}")
        return value

    @field_validator("classes")
    @classmethod
    def _are_unlike(cls, value: list[str]) -> list[str]:
        if len(value) == 1:
            raise ValueError(f"'{value[0]}' alone is nothing to tell apart; give two or more")
        for name in value:
            if value.count(name) > 1:
                raise ValueError(f"'{name}' is there twice; leave out one of them")
        return value


class ConfirmTable(Table):
    """[confirm]: how the winner of a search is confirmed; may change from one start to the next."""

    top: int = Field(default=3, ge=1, le=100)
    """So many of the best distinct settings are trained again."""
    seeds: int = Field(default=3, ge=0, le=100)
    """With so many seeds that the search did not use; 0 leaves the confirming out."""


@dataclass(frozen=True)
class StudyConfig:
    """A study, resolved: the file and everything that overrides it."""

    study: StudyTable
    data: DataTable
    train: dict[str, Any]
    """Fixed TrialSpec fields."""
    space: Space
    source: str
    """Where it was read."""
    text: str
    """The file as it was."""
    settings: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """The [[trial]] tables by name: TrialSpec fields that stand in for those of [train]."""
    confirm: ConfirmTable = field(default_factory=ConfirmTable)
    code: Mapping[str, str] = field(default_factory=dict)
    """Of each model of one's own the files that it is made of, see TrialSpec.code."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models of one's own that any trial has; empty where all have the built-in network."""
        sampled = self.space.dimensions.get("model")
        tables = [self.train, *self.settings.values()]
        found = [*(table.get("model", "") for table in tables), *getattr(sampled, "values", ())]
        return tuple(dict.fromkeys(name for name in found if name))

    @property
    def confirms(self) -> bool:
        """Whether the winner is trained again; a grid or list has its own seeds."""
        return self.confirm.seeds > 0 and self.study.sampler not in GRID_OR_LIST

    def fixed(self) -> dict[str, Any]:
        """TrialSpec fields that every trial of a search shares."""
        return self.train | {"seed": self.study.seed}

    def points(self) -> list[dict[str, Any]]:
        """Of a grid or list: what stands beside [train] in each setting; empty for a search."""
        if self.study.sampler == "grid":
            return self.space.grid()
        return list(self.settings.values())

    def spec(self, trial: BaseTrial, ordinal: int) -> TrialSpec:
        """Settings of the study's trial `ordinal`, counted from 0, drawn by `trial` in a search.

        A grid or list is gone through once for each seed, so that `--trials` cuts seeds off, not
        settings. Raises ValueError for what cannot be trained.
        """
        if self.study.sampler not in GRID_OR_LIST:
            return self._with_code(self.space.suggest(trial, self.fixed()))
        points = self.points()
        seed = {"seed": self.study.seed + ordinal // len(points)}
        given = points[ordinal % len(points)] if self.settings else {}
        return self._with_code(self.space.suggest(trial, self.train | given | seed))

    def undrawn(self) -> TrialSpec:
        """The fixed fields alone; of a model that is drawn, the first. Raises ValueError."""
        sampled = self.space.dimensions.get("model")
        first = {"model": sampled.values[0]} if isinstance(sampled, Choice) else {}
        return self._with_code(TrialSpec.from_dict(first | self.fixed()))

    def _with_code(self, spec: TrialSpec) -> TrialSpec:
        return replace(spec, code=self.code.get(spec.model, ""))

    def largest(self, name: str) -> int:
        """The largest value that a whole-numbered TrialSpec field takes in any trial."""
        dimension = self.space.dimensions.get(name)
        if isinstance(dimension, Range):
            return int(dimension.high)
        if isinstance(dimension, Choice):
            return int(max(dimension.values))
        tables = [self.train | each for each in self.settings.values() or [{}]]
        return int(max(table.get(name, getattr(TrialSpec(), name)) for table in tables))

    def definition(self) -> dict[str, Any]:
        """What makes it this study: all but how long it runs. A change needs a new name."""
        # Older studies do not have the newer keys: left out where they say nothing.
        unsaid = {
            key for key in NEWER if getattr(self.data, key) == DataTable.model_fields[key].default
        }
        tables: dict[str, Any] = {
            "study": self.study.model_dump(exclude={"name", *NO_PART}),
            "data": self.data.model_dump(exclude=unsaid),
            "train": dict(self.train),
            "space": self.space.to_dict(),
        }
        if self.settings:
            tables[LIST] = dict(self.settings)
        if self.code:
            tables["code"] = dict(self.code)
        plain: dict[str, Any] = json.loads(json.dumps(tables))
        return plain


def varied_fields(definition: dict[str, Any]) -> list[str]:
    """The TrialSpec fields that differ from trial to trial by the study's file, the seed apart."""
    sampled = ["hidden" if name in LAYERS else name for name in definition.get("space", {})]
    listed = [name for table in definition.get(LIST, {}).values() for name in table]
    return list(dict.fromkeys(sampled + listed))


def as_toml(value: Any) -> str:
    """A value on one line, as --set takes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={as_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def seconds(duration: str) -> float:
    """`90s`, `10m`, `2h` or plain seconds. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([smh]?)", duration.strip())
    if not match or not float(match[1]):
        raise ValueError(f"{duration!r} is no duration; write 90s, 10m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
