"""Load a study file as a StudyConfig, or raise an error that names the file, table and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config.defaults import ENSEMBLE_SIZE, set_defaults
from harness.config.limits import LimitsTable
from harness.config.model_tables import ConfirmTable, EnsembleTable, FinalTable
from harness.config.objective_conflicts import find_objective_conflicts
from harness.config.overrides import apply_override, explain_value
from harness.config.schema import FIRST_TABLE, GRID_OR_LIST, TABLES, TRIAL_TABLE, StudyConfig
from harness.config.search_space import SearchSpace
from harness.config.study_files import find_study
from harness.config.study_tables import DataTable, StudyTable
from harness.config.task_settings import find_class_conflicts, find_regression_conflicts
from harness.config.trial_tables import count_trials, parse_settings, parse_train
from harness.config.validation import parse_table
from harness.errors import ConfigError, did_you_mean
from harness.model_arguments import check_sampled_names, find_model, flatten_arguments

MIN_WILCOXON_FOLDS = 5
"""With fewer folds the test cannot be significant at 5 %."""


def load(
    study: str | Path, overrides: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> StudyConfig:
    """Load a study by its name or path.

    Args:
        study: a name from ./studies or of a study that ships with harness, or a path.
        overrides: `TABLE.KEY=VALUE` each, with VALUE in TOML; a bare word is a string. A field set
            this way is no longer sampled.
        options: keys of [study] that replace the file's.

    Raises:
        ConfigError: the file or an override is wrong.
        StudyError: there is no such study.
    """
    path = find_study(study)
    return load_text(_read(path), str(path), overrides, options)


def load_text(
    text: str, source: str, overrides: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> StudyConfig:
    """Load a study from the text of a study file; `source` names it in errors.

    Without a name in [study], the study has that of the file `source`. See `load`.
    """
    file = _parse(text, source)
    for override in overrides:
        file.origins[apply_override(override, file.tables, file.trials)] = f"--set {override}"
    if ("data", "folds") in file.origins and ("data", "validation") not in file.origins:
        file.tables["data"].pop("validation", None)  # the file's is that of one validation set
    file.tables["study"] |= options or {}
    return _resolve(file)


@dataclass(frozen=True)
class _StudyFile:
    """A study file's plain tables, not checked yet."""

    source: str
    text: str
    tables: dict[str, dict[str, Any]]
    """Every table of TABLES, empty where the file does not have it."""
    trials: list[dict[str, Any]]
    """The [[trial]] tables."""
    first: list[dict[str, Any]]
    """The [[first]] tables."""
    origins: dict[tuple[str, str], str] = field(default_factory=dict)
    """The --set that gave a table's key, where one did: an error names it instead of the file."""

    def error(self, table: str, message: str) -> ConfigError:
        """An error in a table; `message` starts with the key."""
        match = re.match(r"(arguments\.)?\w+", message)
        origin = self.origins.get((table, match[0] if match else ""), self.source)
        return ConfigError(f"{origin}: [{table}] {message}")

    @contextmanager
    def checking(self, table: str) -> Iterator[None]:
        """Turn a ValueError("key: what is wrong") into an error in this table."""
        try:
            yield
        except ValueError as error:
            raise self.error(table, str(error)) from None


def _explain_line(text: str, error: str) -> str:
    """Explain what TOML forbids and people type; "" if the line of the error has nothing such."""
    place = re.search(r"at line (\d+)", error)
    line = text.splitlines()[int(place[1]) - 1] if place else ""
    advice = explain_value(line.partition("=")[2].partition("#")[0])
    return f"; {advice}" if advice else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows' editors begin a file with a mark
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: cannot be read as TOML: save the file as UTF-8") from None


def _parse(text: str, source: str) -> _StudyFile:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{source}: cannot be read as TOML: {error}{_explain_line(text, str(error))}"
        ) from None
    for name, table in tables.items():
        if name in (TRIAL_TABLE, FIRST_TABLE):
            is_list = isinstance(table, list) and table
            if not is_list or not all(isinstance(each, dict) for each in table):
                raise ConfigError(f"{source}: {name}: must be an array of tables; write [[{name}]]")
        elif name not in TABLES:
            known = did_you_mean(name, (*TABLES, TRIAL_TABLE, FIRST_TABLE))
            raise ConfigError(f"{source}: [{name}]: unknown table{known}")
        elif not isinstance(table, dict):
            raise ConfigError(f"{source}: {name}: must be a table; write [{name}]")
    trials, first = (
        [flatten_arguments(table) for table in tables.get(name, [])]
        for name in (TRIAL_TABLE, FIRST_TABLE)
    )
    if tables.get("ensemble") == {}:
        tables["ensemble"] = {"size": ENSEMBLE_SIZE}
    tables = {name: flatten_arguments(tables.get(name, {})) for name in TABLES}
    tables["study"].setdefault("name", Path(source).stem)
    return _StudyFile(source, text, tables, trials, first)


def _resolve(file: _StudyFile) -> StudyConfig:
    """Check every table, then the tables against each other."""
    tables = file.tables
    has_trials = "trials" in tables["study"]
    set_defaults(tables, file.trials)
    with file.checking("study"):
        study = parse_table(StudyTable, tables["study"])
        if file.trials and study.sampler != "list":
            raise ValueError(f"sampler: {study.sampler} takes no [[trial]]; leave out one of them")
        if study.sampler == "list" and not file.trials:
            raise ValueError("sampler: a list needs [[trial]] tables, and there are none")
    with file.checking("data"):
        data = parse_table(DataTable, tables["data"])
    is_listed = study.sampler in GRID_OR_LIST
    with file.checking("confirm"):
        confirm = parse_table(ConfirmTable, tables["confirm"])
        if data.folds and confirm.resample and not is_listed:
            raise ValueError("resample: excludes [data] folds; leave out one of them")
        if tables["confirm"] and is_listed:
            raise ValueError(
                f"{next(iter(tables['confirm']))}: confirms the winner of a search, and this is a "
                f"{study.sampler}; repeat it over seeds with [study] seeds"
            )
        if confirm.race and data.folds:
            raise ValueError("race: excludes [data] folds; leave out one of them")
        if confirm.race and data.own_validation:
            raise ValueError("race: needs new splits; leave it out, or [data] own_validation")
    with file.checking("ensemble"):
        ensemble = parse_table(EnsembleTable, tables["ensemble"])
        if ensemble.size and study.objective == "val/quantile_loss":
            raise ValueError(
                "size: an ensemble cannot be chosen by val/quantile_loss; leave it out"
            )
        if ensemble.size and data.folds:
            raise ValueError("size: an ensemble cannot be chosen with [data] folds; leave it out")
    with file.checking("limits"):
        limits = parse_table(LimitsTable, tables["limits"])
    with file.checking("final"):
        final = parse_table(FinalTable, tables["final"])
        if tables["final"] and not data.folds:
            raise ValueError("model: needs [data] folds; add them, or leave out [final]")
        if data.folds and final.model == "folds" and study.calibrated:
            raise ValueError(
                "model: the calibration of the mean of the folds' networks cannot be measured; "
                "leave out [study] calibrated, or [final]"
            )
        if data.folds and final.model == "folds" and tables["limits"]:
            raise ValueError(
                f"model: [limits] is for one network, and the mean of the folds' networks is "
                f"{data.folds} of them; leave out [limits], or [final]"
            )
    model = find_model(tables["train"], tables["space"], file.trials)
    with file.checking("train"):
        train = parse_train(tables["train"], model)
    with file.checking("space"):
        check_sampled_names(tables["space"], {**model, **train}.get("model", ""))
        space = SearchSpace.parse(tables["space"])
        if file.trials and space.dimensions:
            key = next(iter(space.dimensions))
            raise ValueError(f"{key}: a list samples nothing; leave out [space] or [[trial]]")
        grid = space.list_grid() if study.sampler == "grid" else []
    try:
        merge = any(table == "train" for table, _ in file.origins)
        settings = parse_settings(file.trials, train, merge)
    except ValueError as error:
        raise ConfigError(f"{file.source}: [[trial]] {error}") from None
    for table, message in _find_conflicts(study, data, train, space, list(settings.values())):
        raise file.error(table, message)
    with file.checking("study"):
        study = count_trials(study, len(grid or settings), has_trials)
    first = _parse_first(file, study, space, train)
    texts = (file.source, file.text)
    checked = (study, data, train, space, *texts, settings, confirm, first)
    return StudyConfig(*checked, ensemble=ensemble, final=final, limits=limits)


def _parse_first(
    file: _StudyFile, study: StudyTable, space: SearchSpace, train: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Check the [[first]] tables: every value is one that [space] has."""
    if study.sampler in GRID_OR_LIST:
        with file.checking("study"):
            if study.warm_start:
                raise ValueError(f"warm_start: a {study.sampler} samples nothing; leave it out")
            if study.stop_when != "never":
                raise ValueError(f"stop_when: a {study.sampler} runs all its trials; leave it out")
        if file.first:
            raise ConfigError(
                f"{file.source}: [[{FIRST_TABLE}]]: a {study.sampler} samples nothing; leave it out"
            )
    parsed = []
    for number, table in enumerate(file.first, 1):
        try:
            fields = parse_train(table, {})
            if fixed := fields.keys() - space.sampled_fields:
                name = min(fixed)
                raise ValueError(f"{name}: is not sampled in [space]; leave it out")
            space.find_params(fields)
        except ValueError as error:
            raise ConfigError(
                f"{file.source}: [[{FIRST_TABLE}]] number {number}: {error}"
            ) from None
        parsed.append(fields)
    return parsed


def _find_conflicts(
    study: StudyTable,
    data: DataTable,
    train: Mapping[str, Any],
    space: SearchSpace,
    settings: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, str]]:
    """Contradictions between tables: the table to name, and a message that starts with the key."""
    yield from find_objective_conflicts(study, data, train, space, settings)
    if study.pruner == "wilcoxon" and data.folds < MIN_WILCOXON_FOLDS:
        yield "study", f"pruner: wilcoxon needs [data] folds = {MIN_WILCOXON_FOLDS} or more"
    if study.pruner == "wilcoxon" and data.reshuffle:
        yield (
            "study",
            "pruner: wilcoxon compares trials fold by fold, and with [data] reshuffle each has its "
            "own folds; choose another pruner",
        )
    if data.task == "regression":
        yield from find_regression_conflicts(study, data, train, space, settings)
    else:
        yield from find_class_conflicts(train, space, settings)
    for key in sorted(space.sampled_fields & train.keys()):
        yield "train", f"{key}: also sampled in [space]; leave out one"
