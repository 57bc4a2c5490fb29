"""A study file -> StudyConfig, or an error that names file, table and key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from harness.errors import ConfigError, StudyError, did_you_mean
from harness.space import LAYERS, Space, check_value
from harness.trial import SPEC_FIELDS, Objective, TrialSpec

TABLES = ("study", "data", "train", "space")
TRAINED = tuple(name for name in SPEC_FIELDS if name != "seed")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


T = TypeVar("T", bound=_Table)
Given = Mapping[tuple[str, str], str]
"""The --set that gave a table's key, where one did."""
Wrong = Callable[[str, str], ConfigError]


class StudyTable(_Table):
    """[study]: what is searched for, and how."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    trials: int = Field(default=50, ge=1)
    seed: int = Field(default=0, ge=0)
    objective: Objective = "val/accuracy"
    sampler: Literal["tpe", "random", "qmc", "grid"] = "tpe"
    """`grid` runs every combination of the lists in [space] once, by default without pruning."""
    pruner: Literal["none", "median", "successive-halving", "hyperband"] = "median"
    timeout: str | None = None
    """No trial is started after this time: `90s`, `10m`, `2h`."""

    @field_validator("timeout")
    @classmethod
    def _is_duration(cls, value: str | None) -> str | None:
        if value is not None:
            seconds(value)
        return value


class DataTable(_Table):
    """[data]: what is trained on."""

    name: str
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of the training part that is validated on."""
    test: float = Field(default=0.2, gt=0, lt=1)
    """Fraction of the whole held out as the test part, where the set has none of its own."""
    split_seed: int = Field(default=0, ge=0)
    normalize: bool = True
    """Subtract the training part's mean and divide by its standard deviation."""


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

    def fixed(self) -> dict[str, Any]:
        """TrialSpec fields that every trial shares."""
        return self.train | {"seed": self.study.seed}

    def definition(self) -> dict[str, Any]:
        """What makes it this study: all but how long it runs. A change needs a new name."""
        study = self.study.model_dump(exclude={"name", "trials", "timeout"})
        train = dict(self.train)
        tables = {
            "study": study,
            "data": self.data.model_dump(),
            "train": train,
            "space": self.space.to_dict(),
        }
        plain: dict[str, Any] = json.loads(json.dumps(tables))
        return plain


def load(
    study: str | Path, overrides: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> StudyConfig:
    """Read a study by name or path.

    `overrides` are `TABLE.KEY=VALUE` with VALUE in TOML (a bare word is a string); a field set
    this way is no longer sampled. `options` set [study] keys. Raises ConfigError, StudyError.
    """
    path = find_study(study)
    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be read as TOML: {reason}") from None
    for name, table in tables.items():
        if name not in TABLES:
            raise ConfigError(f"{path}: [{name}]: unknown table{did_you_mean(name, TABLES)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name}: must be a table; write [{name}]")
    tables = {name: dict(tables.get(name, {})) for name in TABLES}
    tables["study"].setdefault("name", path.stem)
    given = {_apply(override, tables): f"--set {override}" for override in overrides}
    tables["study"] |= options or {}
    return _resolve(tables, str(path), text, given)


def as_toml(value: Any) -> str:
    """A value on one line, as --set takes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={as_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def find_study(study: str | Path) -> Path:
    """The file of a study: a path as it is, a name from ./studies, then from those shipped."""
    if isinstance(study, Path) or study.endswith(".toml") or "/" in study:
        path = Path(study)
        if not path.is_file():
            raise StudyError(f"no study file {path}; give a path or one of the names: {_names()}")
        return path
    for folder in study_folders():
        if (folder / f"{study}.toml").is_file():
            return folder / f"{study}.toml"
    raise StudyError(f"no study '{study}'{did_you_mean(study, _names().split(', '))}")


def study_folders() -> list[Path]:
    """./studies, then the copies inside the wheel, or beside the package in a source checkout."""
    package = Path(__file__).parent
    return [Path("studies"), package / "studies", package.parent / "studies"]


def _names() -> str:
    return ", ".join(sorted({f.stem for folder in study_folders() for f in folder.glob("*.toml")}))


def seconds(duration: str) -> float:
    """`90s`, `10m`, `2h` or plain seconds. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", duration.strip())
    if not match or not float(match[1]):
        raise ValueError(f"{duration!r} is no duration; write 90s, 10m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _apply(override: str, tables: dict[str, dict[str, Any]]) -> tuple[str, str]:
    """Put a --set into its table; returns the table and the key."""
    match = re.fullmatch(r"([a-z]+)\.(\w+)=(.*)", override, re.DOTALL)
    if not match or match[1] not in TABLES:
        raise ConfigError(
            f"--set {override}: write TABLE.KEY=VALUE with TABLE one of {', '.join(TABLES)}"
        )
    table, key, text = match.groups()
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if not re.fullmatch(r"[\w./-]+", text):
            raise ConfigError(
                f"--set {override}: {text!r} is no TOML value; write lists as [300,100]"
            ) from None
        value = text
    if table == "train":
        for name in ("hidden", *LAYERS) if key == "hidden" else (key,):
            tables["space"].pop(name, None)
    if table == "space":
        tables["train"].pop("hidden" if key in LAYERS else key, None)
    tables[table][key] = value
    return table, key


def _resolve(
    tables: dict[str, dict[str, Any]], source: str, text: str, given: Given
) -> StudyConfig:
    def wrong(table: str, message: str) -> ConfigError:
        """An error about the key that `message` starts with, where that key was given."""
        key = re.split(r"[:.]", message, maxsplit=1)[0]
        return ConfigError(f"{given.get((table, key), source)}: [{table}] {message}")

    asked = tables["study"]
    unpruned = {"pruner": "none"} if asked.get("sampler") == "grid" else {}
    study = _table(StudyTable, "study", unpruned | asked, wrong)
    data = _table(DataTable, "data", tables["data"], wrong)
    train: dict[str, Any] = {}
    for key, value in tables["train"].items():
        if key == "seed":
            raise wrong("train", "seed: belongs into [study]; all trials share it")
        if key in LAYERS:
            raise wrong("train", f"{key}: belongs into [space]; fixed widths are hidden = [300]")
        if key not in TRAINED:
            raise wrong("train", f"{key}: unknown key{did_you_mean(key, TRAINED)}")
        try:
            train[key] = check_value(key, value)
        except ValueError as error:
            raise wrong("train", str(error)) from None
    try:
        TrialSpec(**train)
    except ValueError as error:
        raise wrong("train", str(error)) from None
    try:
        space = Space.parse(tables["space"])
    except ValueError as error:
        raise wrong("space", str(error)) from None
    if study.sampler == "grid":
        try:
            points = len(space.grid())
        except ValueError as error:
            raise wrong("space", str(error)) from None
        if "trials" in asked and study.trials > points:
            raise wrong("study", f"trials: {study.trials}, but the grid has {points} points")
        study = study.model_copy(update={} if "trials" in asked else {"trials": points})
    if "loss" in space.fields and study.objective == "val/loss":
        raise wrong(
            "space", "loss: the objective val/loss cannot rank unlike losses; use val/accuracy"
        )
    for key in sorted(space.fields & train.keys()):
        raise wrong("train", f"{key}: also sampled in [space]; leave out one")
    return StudyConfig(study, data, train, space, source, text)


def _table(model: type[T], name: str, values: dict[str, Any], wrong: Wrong) -> T:
    for key in values:
        if key not in model.model_fields:
            raise wrong(name, f"{key}: unknown key{did_you_mean(key, model.model_fields)}")
    try:
        return model.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        shown = (
            "" if problem["type"] in ("missing", "value_error") else f", not {problem['input']!r}"
        )
        raise wrong(name, f"{key}: {message[0].lower()}{message[1:]}{shown}") from None
