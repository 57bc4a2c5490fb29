"""A study as an object: the same keys, checks and errors as a study file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from harness.api.arguments import format_seconds
from harness.api.memory_data import read_memory
from harness.api.model_source import ModelSource, find_model_source
from harness.api.space import Choice
from harness.api.study_keys import StudyKeys
from harness.api.toml import format_toml, to_plain
from harness.config import tabular_space
from harness.config.loader import load, load_text
from harness.config.schema import StudyConfig
from harness.config.study_files import find_study
from harness.config.study_tables import DataTable, StudyTable
from harness.errors import ConfigError, did_you_mean
from harness.results import Task
from harness.workspace import private_files

if TYPE_CHECKING:
    from harness.api.result import StudyResult
    from harness.api.run import RunKeys

STUDIES_FOLDER = "studies"
"""The folder in `mlruns` for the files of studies that are objects."""
DURATIONS = ("timeout", "hung_after")


class Study:
    """A study as an object: the data, the fixed settings and the sampled ones.

    The keyword arguments are the keys of a study file, with the same defaults, checks and errors.
    A run writes the study to `mlruns/studies/NAME/`: a study file, and the data and the model if
    they are in memory. So it can also be run from a terminal.

    Args:
        name: the study's name in the record.
        data: a built-in dataset, a path, a pandas DataFrame, (x, y) or (x, y, x_test, y_test) as
            arrays, tensors or lists, a dict of such arrays by the names of an `.npz` (`x`, `y`,
            `x_test`, `y_test`, `x_val`, `y_val`), or a torch Dataset of (input, label) pairs.
        model: a `torch.nn.Module` class or `"package.module:Class"`; by default an MLP.
        train: the settings that all trials share: the keys of [train].
        space: the sampled settings: a list or `Choice` of values, a `Range`, or a dict as in a
            study file. `"tabular"` is the search that `harness new-study` writes for a table; what
            `train` and `keys` have replaces its own.
        settings: a list of settings to compare instead of a search: the [[trial]] tables.
        first: the [[first]] tables: settings that a search tries first.
        confirm: how the best settings are trained again: the keys of [confirm].
        ensemble: the keys of [ensemble], such as `{"size": 16}`; by default none is made.
        final: the keys of [final], for a study with `folds`.
        limits: the keys of [limits], such as `{"parameters": 100_000}`.
        keys: the keys of [study], such as `trials`, `timeout` and `sampler`, and of [data], such as
            `target`, `task` ("regression" predicts a number), `validation`, `folds`, `test` and
            `group`.

    Raises:
        ConfigError: an argument is wrong.
        DataError: the data is of an unknown type, or a frame does not have the target.

    Examples:
        >>> study = harness.Study(
        ...     "wine", frame, target="cultivar", trials=20,
        ...     train={"epochs": 30},
        ...     space={"hidden": [[32], [64, 32]],
        ...            "learning_rate": harness.Range(1e-4, 1e-1, log=True)},
        ... )
        >>> result = study.run()
    """

    def __init__(
        self,
        name: str,
        data: Any,
        *,
        model: type | str | None = None,
        train: Mapping[str, Any] | None = None,
        space: Mapping[str, Any] | Literal["tabular"] | None = None,
        settings: Sequence[Mapping[str, Any]] = (),
        first: Sequence[Mapping[str, Any]] = (),
        confirm: Mapping[str, Any] | None = None,
        ensemble: Mapping[str, Any] | None = None,
        final: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        **keys: Unpack[StudyKeys],
    ) -> None:
        self.name = name
        self._file: Path | None = None
        self._memory = read_memory(data)
        self._models: list[ModelSource] = []
        study, data_keys = _sort_keys(keys)
        if self._memory is not None and self._memory.target:
            data_keys.setdefault("target", self._memory.target)
        self._data = None if self._memory is not None else str(data)
        fixed = _check_table("train", train)
        if model is not None:
            if "model" in fixed:
                raise ConfigError("Study: model is also in train; leave out one of them")
            if not isinstance(model, type | str):
                kind = type(model).__name__
                raise ConfigError(
                    f"Study '{name}': model: an instance of {kind}; give the class: model={kind}"
                )
            fixed["model"] = model
        if isinstance(space, str):
            is_table = "target" in data_keys
            space = _use_shipped_space(name, space, fixed, study, data_keys, is_table)
        tables: dict[str, Any] = {
            "study": {"name": name, **study},
            "data": data_keys,
            "train": fixed,
            "space": _check_table("space", space),
            "confirm": _check_table("confirm", confirm),
            "ensemble": _check_table("ensemble", ensemble),
            "final": _check_table("final", final),
            "limits": _check_table("limits", limits),
            "trial": [_check_table("settings", each) for each in settings],
            "first": [_check_table("first", each) for each in first],
        }
        try:
            self._tables = to_plain(self._name_models(tables))
        except ValueError as error:
            raise ConfigError(f"Study '{name}': {error}") from None
        self.config  # noqa: B018 - raises the errors of a study file now
        if self._memory is not None:
            self._memory.check_target(f"Study '{name}'", self.config.data.target)

    @classmethod
    def _from_file(cls, path: Path) -> Study:
        study = cls.__new__(cls)
        study._file, study._memory, study._models = path, None, []
        study.name = study.config.study.name
        return study

    @cached_property
    def config(self) -> StudyConfig:
        """The checked study."""
        if self._file is not None:
            return load(self._file)
        return load_text(self.to_toml(), f"Study '{self.name}'")

    def to_toml(self, home: str | Path = "mlruns") -> str:
        """Return the study as the text of a study file; `home` is where its data is written."""
        if self._file is not None:
            return self.config.text
        tables = {**self._tables}
        tables["data"] = {"name": self._data_name(Path(home)), **tables["data"]}
        return format_toml(tables)

    def write(self, home: str | Path = "mlruns") -> Path:
        """Write the study file, with data and model from memory in its folder; return its path.

        A study from a file is not written again.
        """
        if self._file is not None:
            return self._file
        folder = self._folder(Path(home))
        with private_files():
            folder.mkdir(parents=True, exist_ok=True)
            if self._memory is not None:
                self._memory.write(folder)
            for model in self._models:
                model.write(folder)
            path = folder / f"{self.name}.toml"
            path.write_text(self.to_toml(home), encoding="utf-8")
        return path

    def run(self, **options: Unpack[RunKeys]) -> StudyResult:
        """Run the study, or resume it. The options are those of `harness.run_study`."""
        from harness.api.run import run_study

        return run_study(self, **options)

    def _name_files(self, text: str, home: str | Path) -> str:
        """Return a message with `the frame` instead of the path of a file that a run wrote."""
        if self._file is not None:
            return text
        path = (self._folder(Path(home)) / f"{self.name}.toml").as_posix()
        text = text.replace(path, f"Study '{self.name}'")
        if self._memory is None:
            return text
        # The same data may lie in the folder of another study, and be described from there. A
        # path in double quotes is a value of the study file: before -> now.
        path = re.escape(self._data_name(Path(home)))
        path = rf"(?:{path}|[^\s\"']*{re.escape(self._memory.file_name)})"
        return re.sub(rf"'{path}'|(?<![\"\w/]){path}(?!\")", self._memory.noun, text)

    def __repr__(self) -> str:
        config = self.config
        data = self._memory.describe() if self._memory else repr(config.data.name)
        parts = [repr(self.name), data, f"trials={config.study.trials}"]
        sampled = ", ".join(config.space.dimensions)
        return f"Study({', '.join(parts)}{f', space: {sampled}' if sampled else ''})"

    def _folder(self, home: Path) -> Path:
        return home / STUDIES_FOLDER / self.name

    def _data_name(self, home: Path) -> str:
        if self._memory is None:
            return str(self._data)
        return (self._folder(home) / self._memory.file_name).as_posix()

    def _name_models(self, value: Any) -> Any:
        """Replace model classes by their names, and keep their sources to be written."""
        if isinstance(value, type):
            source = find_model_source(value)
            self._models.append(source)
            return source.name
        if isinstance(value, Choice):
            value = value.values
        if isinstance(value, Mapping):
            return {key: self._name_models(each) for key, each in value.items() if each is not None}
        if isinstance(value, list | tuple):
            return [self._name_models(each) for each in value]
        return value


def load_study(study: str | Path) -> Study:
    """Load a study file by its name or path. Raises StudyError and ConfigError.

    Examples:
        >>> harness.load_study("fashion-mnist").config.study.trials
        50
    """
    return Study._from_file(find_study(study))


def _sort_keys(keys: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keys of [study] and those of [data]. Raises ConfigError for an unknown key."""
    tables: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for key, value in keys.items():
        fields = [table.model_fields.keys() - {"name"} for table in (StudyTable, DataTable)]
        index = next((n for n, names in enumerate(fields) if key in names), None)
        if index is None:
            known = (
                *fields[0],
                *fields[1],
                "model",
                "train",
                "space",
                "settings",
                "first",
                "confirm",
                "ensemble",
                "final",
                "limits",
            )
            raise ConfigError(f"Study: unknown argument '{key}'{did_you_mean(key, known)}")
        tables[index][key] = format_seconds(value) if key in DURATIONS else value
    return tables


def _use_shipped_space(
    name: str,
    space: str,
    fixed: dict[str, Any],
    study: dict[str, Any],
    data: dict[str, Any],
    is_table: bool,
) -> dict[str, Any]:
    """Return the shipped space, and add its settings to the tables that do not have them."""
    if space != tabular_space.NAME:
        raise ConfigError(
            f"Study '{name}': space: '{space}' is no shipped space"
            f'{did_you_mean(space, [tabular_space.NAME])}; give a dict, or "tabular"'
        )
    if fixed.get("model", tabular_space.NAME) != tabular_space.NAME:
        raise ConfigError(f"Study '{name}': space: \"tabular\" has its own model; leave out model")
    task: Task = "regression" if data.get("task") == "regression" else "classes"
    table = tabular_space.build_train_table(task) | fixed
    fixed.update(table)
    study.setdefault("trials", tabular_space.TRIALS)
    if is_table:
        data.setdefault("normalize", tabular_space.NORMALIZE)
    sampled = tabular_space.build_space_table()
    return {key: value for key, value in sampled.items() if key not in fixed}


def _check_table(name: str, table: Mapping[str, Any] | None) -> dict[str, Any]:
    if table is not None and not isinstance(table, Mapping):
        raise ConfigError(f"Study: {name} must be a dict, not {table!r}")
    return dict(table or {})
