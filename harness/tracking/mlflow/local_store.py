"""Read a local MLflow database with sqlite3 alone: importing mlflow takes 3 s, the reads 0.1 s.

Only databases whose tables are those of SCHEMAS are read here; MLflow itself reads any other one.
Nothing is kept between two reads, so each sees what is on record then.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from harness.system.addresses import format_read_only_uri
from harness.tracking.mlflow.base_store import (
    ACTIVE_ONLY,
    ALL,
    DELETED_ONLY,
    BaseStore,
    parse_local_folder,
    pause_garbage_collection,
)
from harness.tracking.mlflow.local_entities import (
    LocalExperiment,
    LocalFile,
    LocalInfo,
    LocalMetric,
    LocalModel,
    LocalRegistered,
    LocalRun,
    LocalVersion,
)
from harness.tracking.mlflow.local_errors import MissingRecordError, map_local_error

if TYPE_CHECKING:
    from mlflow.entities import Run

Row = TypeVar("Row")

SCHEMAS = ("dc11669786a5",)
"""MLflow's versions of its tables that this file can read: that of MLflow 3.17. See
tests/tracking/test_local_store.py, which fails when a newer MLflow has another one."""
LOCK_SECONDS = 20.0
"""How long to wait for another process that writes to the database."""
STAGES = {ACTIVE_ONLY: ("active",), DELETED_ONLY: ("deleted",), ALL: ("active", "deleted")}
TAG_TERM = re.compile(r"tags\.`(?P<key>[^`]+)` (?P<how>=|LIKE) '(?P<value>[^']*)'")
METRIC_COLUMNS = "run_uuid, key, value, timestamp, step, is_nan"
NAME_TERM = re.compile(r"name ?= ?'(?P<name>[^']*)'")


def can_read(path: Path) -> bool:
    """Whether a database can be read here: its tables are known, and all files are local."""
    try:
        with closing(_connect(path, is_read_only=True)) as connection:
            versions = [str(row[0]) for row in connection.execute(_SCHEMA)]
            places = connection.execute(_PLACES).fetchall()
    except sqlite3.Error:
        return False
    is_known = len(versions) == 1 and versions[0] in SCHEMAS
    return is_known and all(
        space == "default" and parse_local_folder(str(place)) for place, space in places
    )


_SCHEMA = "SELECT version_num FROM alembic_version"
_PLACES = "SELECT artifact_location, workspace FROM experiments"


def _connect(path: Path, is_read_only: bool) -> sqlite3.Connection:
    # A writable connection rolls back what a dead driver left; none of them creates a file.
    uri = format_read_only_uri(path)
    uri = uri if is_read_only else f"{uri.removesuffix('mode=ro')}mode=rw"
    return sqlite3.connect(uri, LOCK_SECONDS, isolation_level=None, uri=True)


class LocalStore(BaseStore):
    """A local database, which `can_read` accepts."""

    def __init__(self, uri: str, path: Path, is_read_only: bool = False) -> None:
        """`is_read_only`: not even what a dead driver left is rolled back."""
        super().__init__(uri)
        self.client = LocalClient(path, is_read_only)

    @contextmanager
    def map_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, MissingRecordError) as error:
            raise map_local_error(error, self.uri) from error

    def search_runs(
        self, experiment_ids: Sequence[str], query: str = "", view: int = ACTIVE_ONLY
    ) -> list[Run]:
        with pause_garbage_collection():
            return cast("list[Run]", self.client.search_runs(experiment_ids, query, view))

    def read_curves(self, runs: Sequence[Run], keys: Sequence[str]) -> list[tuple[str, Any]]:
        return cast("LocalClient", self.client).read_curves([run.info.run_id for run in runs], keys)


class LocalClient:
    """Has the methods of MlflowClient that harness reads with; entities have the same fields."""

    def __init__(self, path: Path, is_read_only: bool) -> None:
        self._path, self._is_read_only = path, is_read_only

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the database; all reads of the body are of one moment."""
        with closing(_connect(self._path, self._is_read_only)) as connection:
            connection.execute("BEGIN")
            yield connection

    def _select(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._open() as database:
            return database.execute(query, values).fetchall()

    def search_experiments(
        self, view_type: int = ACTIVE_ONLY, order_by: Sequence[str] = ()
    ) -> list[LocalExperiment]:
        order = ", ".join(order_by) or "creation_time DESC"
        assert order in ("creation_time DESC", "last_update_time DESC"), order
        where = f"lifecycle_stage IN ({_marks(STAGES[view_type])}) ORDER BY {order}, experiment_id"
        return self._select_experiments(where, STAGES[view_type])

    def get_experiment_by_name(self, name: str) -> LocalExperiment | None:
        return next(iter(self._select_experiments("name = ?", [name])), None)

    def get_experiment(self, experiment_id: str) -> LocalExperiment:
        return _first(
            self._select_experiments("experiment_id = ?", [int(experiment_id)]),
            f"no experiment with ID {experiment_id} exists",
        )

    def _select_experiments(self, where: str, values: Sequence[object]) -> list[LocalExperiment]:
        columns = "experiment_id, name, artifact_location, lifecycle_stage, creation_time"
        with self._open() as database:
            rows = database.execute(f"SELECT {columns} FROM experiments WHERE {where}", values)
            experiments = {row[0]: LocalExperiment(str(row[0]), *row[1:]) for row in rows}
            tags = "SELECT experiment_id, key, value FROM experiment_tags"
            for experiment, key, value in database.execute(tags):
                if experiment in experiments:
                    experiments[experiment].tags[key] = value
        return list(experiments.values())

    def search_runs(
        self, experiment_ids: Sequence[str], query: str = "", view: int = ACTIVE_ONLY
    ) -> list[LocalRun]:
        """Return runs with the tags of a query, the newest first."""
        where, values = _parse_tags(query, "tags", "run_uuid")
        ids, stages = [int(each) for each in experiment_ids], STAGES[view]
        return self._select_runs(
            f"experiment_id IN ({_marks(ids)}) AND lifecycle_stage IN ({_marks(stages)}){where}",
            [*ids, *stages, *values],
        )

    def get_run(self, run_id: str) -> LocalRun:
        return _first(self._select_runs("run_uuid = ?", [run_id]), f"Run '{run_id}' not found")

    def _select_runs(self, where: str, values: Sequence[object]) -> list[LocalRun]:
        columns = (
            "run_uuid, experiment_id, name, status, start_time, end_time, lifecycle_stage, "
            "artifact_uri"
        )
        query = f"SELECT {columns} FROM runs WHERE {where} ORDER BY start_time DESC, run_uuid"
        theirs = f"WHERE run_uuid IN (SELECT run_uuid FROM runs WHERE {where})"
        with self._open() as database:
            rows = database.execute(query, values)
            runs = {row[0]: LocalRun(LocalInfo(row[0], str(row[1]), *row[2:])) for row in rows}
            tags = f"SELECT run_uuid, key, value FROM tags {theirs}"
            for run, key, value in database.execute(tags, values):
                runs[run].data.tags[key] = value
            params = f"SELECT run_uuid, key, value FROM params {theirs}"
            for run, key, value in database.execute(params, values):
                runs[run].data.params[key] = value
            metrics = f"SELECT {METRIC_COLUMNS} FROM latest_metrics {theirs}"
            for run, *metric in database.execute(metrics, values):
                runs[run].data.add_metric(_build_metric(*metric))
        return list(runs.values())

    def read_curves(
        self, run_ids: Sequence[str], keys: Sequence[str]
    ) -> list[tuple[str, LocalMetric]]:
        """Return (run id, metric) of every point of the metrics `keys`."""
        wanted = set(run_ids)
        query = f"SELECT {METRIC_COLUMNS} FROM metrics WHERE key IN ({_marks(keys)})"
        rows = self._select(query, keys)
        return [(run, _build_metric(*metric)) for run, *metric in rows if run in wanted]

    def list_artifacts(self, run_id: str) -> list[LocalFile]:
        folder = parse_local_folder(self.get_run(run_id).info.artifact_uri)
        assert folder is not None
        files = sorted(folder.glob("*"))
        return [LocalFile(file.name, file.is_dir()) for file in files]

    def search_model_versions(self, query: str) -> list[LocalVersion]:
        """Return the versions of a model, or those with a tag, the one changed last first."""
        if match := NAME_TERM.fullmatch(query):
            return self._select_versions(" AND name = ?", [match["name"]])
        return self._select_versions(*_parse_tags(query, "model_version_tags", "name", "version"))

    def get_model_version(self, name: str, version: str) -> LocalVersion:
        values = [name, int(version) if version.isdecimal() else version]
        versions = self._select_versions(" AND name = ? AND version = ?", values)
        return _first(versions, f"no model version {name}/{version}")

    def get_model_version_by_alias(self, name: str, alias: str) -> LocalVersion:
        aliases = self.get_registered_model(name).aliases
        if alias not in aliases:
            raise MissingRecordError(f"registered model '{name}' has no alias '{alias}'")
        return self.get_model_version(name, aliases[alias])

    def _select_versions(self, where: str, values: Sequence[object]) -> list[LocalVersion]:
        rows = self._select(
            "SELECT name, version, run_id, source FROM model_versions WHERE current_stage != "
            f"'Deleted_Internal'{where} ORDER BY last_updated_time DESC, name, version DESC",
            values,
        )
        versions = {(row[0], row[1]): LocalVersion(row[0], str(row[1]), *row[2:]) for row in rows}
        tags = "SELECT name, version, key, value FROM model_version_tags"
        for name, version, key, value in self._select(tags):
            if (name, version) in versions:
                versions[name, version].tags[key] = value
        return list(versions.values())

    def get_registered_model(self, name: str) -> LocalRegistered:
        query = "SELECT name FROM registered_models WHERE name = ?"
        _first(self._select(query, [name]), f"no registered model '{name}'")
        aliases = "SELECT alias, version FROM registered_model_aliases WHERE name = ?"
        return LocalRegistered({key: str(value) for key, value in self._select(aliases, [name])})

    def get_logged_model(self, model_id: str) -> LocalModel:
        query = (
            "SELECT artifact_location FROM logged_models WHERE model_id = ? AND lifecycle_stage = "
            "'active'"
        )
        (location,) = _first(self._select(query, [model_id]), f"no logged model '{model_id}'")
        tags = "SELECT tag_key, tag_value FROM logged_model_tags WHERE model_id = ?"
        return LocalModel(location, dict(self._select(tags, [model_id])))


def _parse_tags(query: str, table: str, *keys: str) -> tuple[str, list[str]]:
    """Turn the terms of MLflow's query, which are about tags, into SQL for rows with those tags.

    `keys` are the columns that `table` shares with the rows.
    """
    where, values = "", list[str]()
    for term in query.split(" AND ") if query else ():
        match = TAG_TERM.fullmatch(term)
        assert match is not None, query
        same = "value = ?"
        if match["how"] == "LIKE":
            same = "substr(value, 1, length(?)) = ?"
            values_of_term = [match["value"].removesuffix("%")] * 2
        else:
            values_of_term = [match["value"]]
        columns = ", ".join(keys)
        where += f" AND ({columns}) IN (SELECT {columns} FROM {table} WHERE key = ? AND {same})"
        values += [match["key"], *values_of_term]
    return where, values


def _build_metric(key: str, value: float, timestamp: int, step: int, is_nan: bool) -> LocalMetric:
    return LocalMetric(key, math.nan if is_nan else value, timestamp, step)


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _first(rows: Sequence[Row], missing: str) -> Row:
    if not rows:
        raise MissingRecordError(missing)
    return rows[0]
