"""Read everything that MLflow holds of a study, without writing a byte, for `harness doctor`.

A local database is opened read-only. If a driver died inside a transaction, SQLite would have to
roll it back first, so a copy is read.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import safetensors

from harness.results import EpochMetrics
from harness.system.addresses import (
    format_read_only_sqlite_uri,
    format_sqlite_uri,
    parse_sqlite_path,
)
from harness.tracking.epoch_predictions import EPOCH_PREDICTIONS_FILE
from harness.tracking.mlflow import naming
from harness.tracking.mlflow.artifact_locations import find_old_folders, update_locations
from harness.tracking.mlflow.base_store import (
    ALL,
    READER_THREADS,
    BaseStore,
    pause_garbage_collection,
)
from harness.tracking.mlflow.local_store import LocalStore, can_read
from harness.tracking.mlflow.model_lookup import ENSEMBLE_TAG
from harness.tracking.mlflow.name_holders import read_holders
from harness.tracking.name_holder import NameHolder
from harness.tracking.predictions import TEST_PREDICTIONS_FILE
from harness.tracking.raw_types import (
    CONFUSION_FILE,
    DIGEST_TAG,
    ENSEMBLE_PREDICTIONS_FILE,
    WEIGHTS_FILES,
    Point,
    RawRun,
    RawStudy,
    RawVersion,
    Status,
    StoredFile,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

    from harness.tracking.mlflow.client import Store

KEPT_FILES = (
    TEST_PREDICTIONS_FILE,
    ENSEMBLE_PREDICTIONS_FILE,
    EPOCH_PREDICTIONS_FILE,
    CONFUSION_FILE,
)
"""The files that are checked by content, apart from JSON."""


class MlflowRawReader:
    """Implements the RawReader protocol for MLflow."""

    def __init__(self, uri: str, artifacts: Path, writing: bool = False) -> None:
        """`writing` allows repairs; without it a local store is opened read-only.

        `artifacts` is the folder of a local store's files, which may have been moved.
        """
        path = parse_sqlite_path(uri)
        if path is not None and writing:
            update_locations(path, artifacts)
        if path is not None and not writing:
            path = self._find_readable(path, artifacts)
            uri = format_sqlite_uri(path)
        if path is not None and not writing and can_read(path):
            self._store: BaseStore = LocalStore(uri, path, is_read_only=True)
            return
        from harness.tracking.mlflow.client import Store

        if path is not None and not writing:
            uri = format_read_only_sqlite_uri(path)
        self._store = Store(uri)

    @property
    def _writer(self) -> Store:
        """The store, which was opened with `writing`."""
        return cast("Store", self._store)

    def read_study(self, name: str, uid: str, model: str) -> RawStudy | None:
        client = self._store.client
        with self._store.map_errors(), pause_garbage_collection():
            experiment = client.get_experiment_by_name(name)
            runs = self._search_runs([experiment.experiment_id]) if experiment else []
            if not any(run.data.tags.get("harness.uid") == uid for run in runs):
                # --fresh renames the Optuna record before the experiment; the driver may have
                # died in between.
                matches = self._search_runs(
                    self._list_experiment_ids(), f"tags.`harness.uid` = '{uid}'"
                )
                if matches:
                    experiment = client.get_experiment(matches[0].info.experiment_id)
                    runs = self._search_runs([experiment.experiment_id])
            if experiment is None:
                return None
            points = self._read_points(runs)
            with ThreadPoolExecutor(READER_THREADS) as pool:
                files_by_run = list(pool.map(self._read_files, runs))
            raw_runs = [
                _build_run(run, points.get(run.info.run_id, ()), files)
                for run, files in zip(runs, files_by_run, strict=True)
            ]
            return RawStudy(
                experiment.name,
                str(experiment.experiment_id),
                experiment.lifecycle_stage == "deleted",
                tuple(sorted(raw_runs, key=lambda run: (run.started, run.run_id))),
                tuple(self._read_versions(model)),
            )

    def read_holders(self) -> dict[str, NameHolder]:
        with self._store.map_errors():
            experiments = self._store.client.search_experiments(ALL)
            holders = read_holders(self._store, experiments)
            by_name = {each.name: holders[str(each.experiment_id)] for each in experiments}
            return {name: holder for name, holder in by_name.items() if holder.uids}

    def restore_study(self, experiment_id: str) -> None:
        with self._store.map_errors():
            self._writer.client.restore_experiment(experiment_id)

    def restore_run(self, run_id: str) -> None:
        with self._store.map_errors():
            self._writer.client.restore_run(run_id)

    def delete_run(self, run_id: str) -> None:
        with self._store.map_errors():
            self._writer.client.delete_run(run_id)

    def create_run(
        self,
        experiment_id: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        started: int,
    ) -> str:
        from mlflow.entities import Param

        with self._store.map_errors():
            uid = tags["harness.uid"]
            run_id = self._writer.create_run(experiment_id, uid, name, tags, started)
            self._writer.log(run_id, params=[Param(key, value) for key, value in params.items()])
            return run_id

    def end_run(
        self, run_id: str, status: Status | None, tags: Mapping[str, str], ended: int | None = None
    ) -> None:
        with self._store.map_errors():
            self._writer.log(run_id, tags=tags)
            if status is not None:
                self._writer.client.set_terminated(run_id, status, ended)

    def add_points(self, run_id: str, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(point.key, point.value, point.time, point.step) for point in points]
        with self._store.map_errors():
            self._writer.log(run_id, metrics)

    def write_file(self, run_id: str, name: str, content: bytes) -> None:
        with self._store.map_errors():
            self._writer.log_file(run_id, name, content)
            digest = hashlib.sha256(content).hexdigest()
            self._writer.client.set_tag(run_id, f"{DIGEST_TAG}{name}", digest)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        with self._store.map_errors():
            self._writer.client.set_registered_model_alias(name, alias, version)

    def _find_readable(self, path: Path, artifacts: Path) -> Path:
        """Return the SQLite file, or a copy of it where a read would have to write."""
        journal = Path(f"{path}-journal")
        if not journal.exists() and not find_old_folders(path, artifacts):
            return path
        folder = tempfile.mkdtemp()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        for file in filter(Path.exists, (path, journal)):
            shutil.copy(file, folder)
        copy = Path(folder, path.name)
        update_locations(copy, artifacts, path)
        with closing(sqlite3.connect(copy)) as connection:  # rolls back what a dead driver left
            connection.execute("SELECT 1 FROM sqlite_master").fetchall()
        return copy

    def _search_runs(self, experiment_ids: Sequence[str], query: str = "") -> list[Run]:
        """Return the matching runs, deleted ones too."""
        return self._store.search_runs(experiment_ids, query, ALL)

    def _list_experiment_ids(self) -> list[str]:
        """Return the ids of all experiments, of deleted ones too."""
        experiments = self._store.client.search_experiments(ALL)
        return [str(experiment.experiment_id) for experiment in experiments]

    def _read_points(self, runs: Sequence[Run]) -> dict[str, tuple[Point, ...]]:
        """Return by run id all points of the learning curves, and the last one of other metrics."""
        of_epoch = EpochMetrics(**dict.fromkeys(EpochMetrics.__dataclass_fields__, 0))
        curves = [*naming.curve_metrics(of_epoch), *naming.FOLD_METRICS]
        points_by_run = {
            run.info.run_id: [
                _build_point(metric) for metric in run.data._metric_objs if metric.key not in curves
            ]
            for run in runs
        }
        for run_id, metric in self._store.read_curves(runs, curves):
            points_by_run[run_id].append(_build_point(metric))
        return {run_id: tuple(sorted(points)) for run_id, points in points_by_run.items()}

    def _read_files(self, run: Run) -> dict[str, StoredFile]:
        names = self._store.list_files(run.info.artifact_uri)
        return {name: self._read_file(run, name) for name in names}

    def _read_file(self, run: Run, name: str) -> StoredFile:
        try:
            with self._store.map_errors():
                content = self._store.read_artifact(run, name)
        except Exception as error:
            return StoredFile("", error=str(error))
        keep = name.endswith(".json") or name in KEPT_FILES
        return StoredFile(
            hashlib.sha256(content).hexdigest(),
            content=content if keep else None,
            shapes=_read_shapes(content) if name in WEIGHTS_FILES else None,
        )

    def _read_versions(self, name: str) -> Iterable[RawVersion]:
        escaped = name.replace("'", "")
        client = self._store.client
        versions = client.search_model_versions(f"name='{escaped}'")
        aliases = client.get_registered_model(name).aliases if versions else {}
        for version in versions:
            yield RawVersion(
                str(version.version),
                version.run_id or "",
                str(aliases.get("champion")) == str(version.version),
                version.tags,
                self._find_model_problem(version.source or ""),
                str(aliases.get("ensemble")) == str(version.version),
                version.tags.get(ENSEMBLE_TAG, ""),
            )

    def _find_model_problem(self, source: str) -> str:
        """Return what is wrong with the files of the model `models:/m-...`; empty if nothing is."""
        try:
            with self._store.map_errors():
                model = self._store.client.get_logged_model(source.removeprefix("models:/"))
                names = set(self._store.list_names(model.artifact_location))
        except Exception as error:
            return str(error)
        missing = sorted({"MLmodel", "data"} - names)
        return f"its files {', '.join(missing)} are missing" if missing else ""


def _build_run(run: Run, points: Sequence[Point], files: Mapping[str, StoredFile]) -> RawRun:
    return RawRun(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        status=cast(Status, run.info.status),
        deleted=run.info.lifecycle_stage == "deleted",
        started=run.info.start_time,
        tags=naming.join_tags(run.data.tags),
        params=run.data.params,
        metrics=run.data.metrics,
        points=tuple(points),
        files=files,
    )


def _build_point(metric: Any) -> Point:
    return Point(metric.key, metric.step, metric.value, metric.timestamp)


def _read_shapes(content: bytes) -> dict[str, tuple[int, ...]] | None:
    try:
        return {name: tuple(info["shape"]) for name, info in safetensors.deserialize(content)}  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError:
        return None
