"""A study file -> StudyConfig, or an error that names file, table and key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.config.schema import (
    GRID_OR_LIST,
    LIST,
    ConfirmTable,
    DataTable,
    StudyConfig,
    StudyTable,
    Table,
    as_toml,
)
from harness.config.search_space import LAYERS, Space, check_value
from harness.config.tasks import contradictions, with_defaults
from harness.errors import ConfigError, StudyError, did_you_mean
from harness.model_arguments import (
    ARGUMENT,
    BUILT_IN,
    by_name,
    check_sampled,
    model_elsewhere,
    not_its_own,
)
from harness.trial import SPEC_FIELDS, TrialSpec

LONGEST_NAME = 80
"""Of a setting: it stands in a line with its figures."""
TABLES = ("study", "data", "train", "space", "confirm")
TRAINED = tuple(name for name in SPEC_FIELDS if name not in ("seed", "arguments", "code"))

T = TypeVar("T", bound=Table)
Given = Mapping[tuple[str, str], str]
"""The --set that gave a table's key, where one did."""
Wrong = Callable[[str, str], ConfigError]


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
    given_list = tables.pop(LIST, None)
    listed = given_list or []
    if given_list is not None and not (
        isinstance(listed, list) and listed and all(isinstance(each, dict) for each in listed)
    ):
        raise ConfigError(f"{path}: {LIST}: must be tables of their own; write [[{LIST}]]")
    for name, table in tables.items():
        if name not in TABLES:
            raise ConfigError(
                f"{path}: [{name}]: unknown table{did_you_mean(name, (*TABLES, LIST))}"
            )
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name}: must be a table; write [{name}]")
    tables = {name: by_name(tables.get(name, {})) for name in TABLES}
    listed = [by_name(table) for table in listed]
    tables["study"].setdefault("name", path.stem)
    given = {_apply(override, tables, listed): f"--set {override}" for override in overrides}
    tables["study"] |= options or {}
    return _resolve(tables, listed, str(path), text, given)


def find_study(study: str | Path) -> Path:
    """The file of a study: a path as it is, a name from ./studies, then from those shipped."""
    if isinstance(study, Path) or study.endswith(".toml") or "/" in study:
        path = Path(study)
        if not _is_file(path):
            raise StudyError(f"no study file {path}; give a path or one of the names: {_names()}")
        return path
    for folder in study_folders():
        if _is_file(folder / f"{study}.toml"):
            return folder / f"{study}.toml"
    raise StudyError(f"no study '{study}'{did_you_mean(study, _names().split(', '))}")


def _is_file(path: Path) -> bool:
    """False for a name that no file can have, too."""
    try:
        return path.is_file()
    except OSError:
        return False


def study_folders() -> list[Path]:
    """./studies, then the copies inside the wheel, or beside the package in a source checkout."""
    package = Path(__file__).parents[1]
    return [Path("studies"), package / "studies", package.parent / "studies"]


def is_shipped(name: str) -> bool:
    return any(_is_file(folder / f"{name}.toml") for folder in study_folders()[1:])


def _names() -> str:
    return ", ".join(sorted({f.stem for folder in study_folders() for f in folder.glob("*.toml")}))


def _apply(
    override: str, tables: dict[str, dict[str, Any]], listed: list[dict[str, Any]]
) -> tuple[str, str]:
    """Put a --set into its table; returns the table and the key."""
    match = re.fullmatch(r"([a-z]+)\.((?:arguments\.)?\w+)=(.*)", override, re.DOTALL)
    if not match or match[1] not in TABLES:
        raise ConfigError(
            f"--set {override}: write TABLE.KEY=VALUE with TABLE one of {', '.join(TABLES)}"
        )
    table, key, text = match.groups()
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if not re.fullmatch(r"[\w.:/-]+", text):
            raise ConfigError(
                f"--set {override}: {text!r} is no TOML value; write lists as [300,100]"
            ) from None
        value = text
    if table == "train":
        for name in ("hidden", *LAYERS) if key == "hidden" else (key,):
            for sampled in (tables["space"], *listed):
                sampled.pop(name, None)
    if table == "space":
        tables["train"].pop("hidden" if key in LAYERS else key, None)
    tables[table][key] = value
    return table, key


def _resolve(
    tables: dict[str, dict[str, Any]],
    listed: list[dict[str, Any]],
    source: str,
    text: str,
    given: Given,
) -> StudyConfig:
    def wrong(table: str, message: str) -> ConfigError:
        """An error about the key that `message` starts with, where that key was given."""
        found = re.match(r"(arguments\.)?\w+", message)
        key = found[0] if found else ""
        return ConfigError(f"{given.get((table, key), source)}: [{table}] {message}")

    asked = with_defaults(tables)["study"]
    if listed:
        asked.setdefault("sampler", "list")
    unpruned = {"pruner": "none"} if asked.get("sampler") in GRID_OR_LIST else {}
    study = _table(StudyTable, "study", unpruned | asked, wrong)
    if listed and study.sampler != "list":
        raise wrong("study", f"sampler: {study.sampler} takes no [[{LIST}]]; leave out one of them")
    if study.sampler == "list" and not listed:
        raise wrong("study", f"sampler: a list needs [[{LIST}]] tables, and there are none")
    data = _table(DataTable, "data", tables["data"], wrong)
    confirm = _table(ConfirmTable, "confirm", tables["confirm"], wrong)
    if tables["confirm"] and study.sampler in GRID_OR_LIST:
        raise wrong(
            "confirm",
            f"{next(iter(tables['confirm']))}: confirms a search's winner, and this is a "
            f"{study.sampler}; repeat it over seeds by [study] seeds",
        )
    under = model_elsewhere(tables["train"], tables["space"], listed)
    train = _fields(tables["train"], under, lambda message: wrong("train", message))
    try:
        space = Space.parse(tables["space"])
        if listed and space.dimensions:
            raise ValueError(
                f"{next(iter(space.dimensions))}: nothing is drawn beside [[{LIST}]]; leave out one"
            )
        check_sampled(space.dimensions, (under | train).get("model", ""))
        grid = space.grid() if study.sampler == "grid" else []
    except ValueError as error:
        raise wrong("space", str(error)) from None
    settings = _settings(listed, train, source, any(table == "train" for table, _ in given))
    for table, message in contradictions(study, data, train, space, settings.values()):
        raise wrong(table, message)
    if "loss" in space.fields and study.objective == "val/loss":
        raise wrong(
            "space", "loss: the objective val/loss cannot rank unlike losses; use val/accuracy"
        )
    for key in sorted(space.fields & train.keys()):
        raise wrong("train", f"{key}: also sampled in [space]; leave out one")
    losses = {TrialSpec.from_dict(train | each).loss for each in settings.values()}
    if study.objective == "val/loss" and len(losses) > 1:
        raise wrong(
            "study", "objective: val/loss cannot rank unlike losses in [[trial]]; use val/accuracy"
        )
    study = _counted(study, len(grid or settings), "trials" in asked, wrong)
    return StudyConfig(study, data, train, space, source, text, settings, confirm)


def _counted(study: StudyTable, points: int, given: bool, wrong: Wrong) -> StudyTable:
    """With as many trials as a grid or list of so many `points` has, unless that was given."""
    if study.sampler not in GRID_OR_LIST:
        if study.seeds > 1:
            raise wrong(
                "study",
                f"seeds: repeats a grid or a list, not what {study.sampler} draws; leave it out",
            )
        return study
    most = points * study.seeds
    if given and study.trials > most:
        seeds = f"{study.seeds} seed{'s' if study.seeds > 1 else ''}"
        raise wrong(
            "study",
            f"trials: {study.trials}, but {points} settings with {seeds} make {most}; raise seeds",
        )
    return study if given else study.model_copy(update={"trials": most})


def _fields(
    table: Mapping[str, Any], under: dict[str, Any], wrong: Callable[[str], ConfigError]
) -> dict[str, Any]:
    """TrialSpec fields of a table, checked by themselves and on top of those `under` them."""
    fields = {}
    for key, value in table.items():
        if key == "seed":
            raise wrong("seed: belongs into [study]; all settings share it")
        if key == ARGUMENT.rstrip("."):
            raise wrong(f"{key}: must be a table such as {{ channels = 16 }}, not {value!r}")
        if key in LAYERS:
            raise wrong(f"{key}: belongs into [space]; fixed widths are hidden = [300]")
        if key not in TRAINED and not key.startswith(ARGUMENT):
            raise wrong(f"{key}: unknown key{did_you_mean(key, TRAINED)}")
        try:
            fields[key] = check_value(key, value)
        except ValueError as error:
            raise wrong(str(error)) from None
    for key in BUILT_IN:
        if (model := (under | fields).get("model")) and key in under | fields:
            raise wrong(not_its_own(key, model))
    try:
        TrialSpec.from_dict(under | fields)
    except ValueError as error:
        raise wrong(str(error)) from None
    return fields


def _settings(
    listed: list[dict[str, Any]], train: dict[str, Any], source: str, merge: bool
) -> dict[str, dict[str, Any]]:
    """The [[trial]] tables by their names, which their fields make where none is given.

    Equal ones are a mistake, or where a --set has made them so (`merge`) the first of them.
    """
    settings: dict[str, dict[str, Any]] = {}
    specs: dict[TrialSpec, str] = {}
    for place, table in enumerate(listed, 1):

        def wrong(message: str, place: int = place) -> ConfigError:
            return ConfigError(f"{source}: [[{LIST}]] number {place}: {message}")

        rest = {key: value for key, value in table.items() if key != "name"}
        fields = _fields(rest, train, wrong)
        called = ", ".join(f"{key} = {as_toml(value)}" for key, value in fields.items())
        name = table.get("name", called or "as in [train]")
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise wrong(f"name: must be a text on one line, not {name!r}")
        if "name" in table and len(name) > LONGEST_NAME:
            raise wrong(f"name: at most {LONGEST_NAME} letters, not {len(name)}: {name[:40]}...")
        trained = TrialSpec.from_dict(train | fields)
        if trained in specs:
            if merge:
                continue
            raise wrong(f"the same settings as '{specs[trained]}'; leave out one of them")
        if name in settings:
            raise wrong(f"name: '{name}' was there before; give each setting its own")
        settings[name], specs[trained] = fields, name
    return settings


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
