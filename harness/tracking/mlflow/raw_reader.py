"""The auditor's side: everything that MLflow holds of a study, read without a byte written.

A local database is opened read-only. Where a driver died in the middle of a transaction SQLite
would first have to roll that back: then a copy is read.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import urllib.parse
import weakref
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import safetensors
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from harness.results import EpochMetrics
from harness.tracking.mlflow import naming
from harness.tracking.mlflow.client import Store, in_bulk
from harness.tracking.mlflow.points import MOST_METRICS
from harness.tracking.mlflow.reader import READERS
from harness.tracking.predictions import TEST_FILE
from harness.tracking.raw_types import (
    DIGEST,
    WEIGHTS,
    Point,
    RawRun,
    RawStudy,
    RawVersion,
    Status,
    StoredFile,
)

SQLITE = "sqlite:///"


class MlflowRawReader:
    """`writing` allows the mending actions; without it a local store is opened read-only."""

    def __init__(self, uri: str, writing: bool = False) -> None:
        self._store = Store(uri if writing or not uri.startswith(SQLITE) else self._readable(uri))

    def audit(self, name: str, uid: str, model: str) -> RawStudy | None:
        client = self._store.client
        with self._store.errors(), in_bulk():
            experiment = client.get_experiment_by_name(name)
            runs = self._runs([experiment.experiment_id]) if experiment else []
            if not any(run.data.tags.get("harness.uid") == uid for run in runs):
                # --fresh renames the journal first: the driver may have died before the experiment.
                found = self._runs(self._all(), f"tags.`harness.uid` = '{uid}'")
                if found:
                    experiment = client.get_experiment(found[0].info.experiment_id)
                    runs = self._runs([experiment.experiment_id])
            if experiment is None:
                return None
            points = self._points(runs)
            with ThreadPoolExecutor(READERS) as pool:
                files = list(pool.map(self._files, runs))
            audits = [
                _run(run, points.get(run.info.run_id, ()), held)
                for run, held in zip(runs, files, strict=True)
            ]
            return RawStudy(
                experiment.name,
                str(experiment.experiment_id),
                experiment.lifecycle_stage == "deleted",
                tuple(sorted(audits, key=lambda run: (run.started, run.run_id))),
                tuple(self._versions(model)),
            )

    def studies(self) -> dict[str, str]:
        with self._store.errors():
            experiments = self._store.client.search_experiments(ViewType.ALL)
            titles = {str(each.experiment_id): each.name for each in experiments}
            runs = self._runs(list(titles), "tags.`harness.kind` = 'study'")
            return {
                titles[str(run.info.experiment_id)]: run.data.tags.get("harness.uid", "")
                for run in runs
            }

    def restore_study(self, experiment_id: str) -> None:
        with self._store.errors():
            self._store.client.restore_experiment(experiment_id)

    def restore(self, run_id: str) -> None:
        with self._store.errors():
            self._store.client.restore_run(run_id)

    def delete(self, run_id: str) -> None:
        with self._store.errors():
            self._store.client.delete_run(run_id)

    def create(
        self,
        experiment_id: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        started: int,
    ) -> str:
        with self._store.errors():
            run = self._store.client.create_run(experiment_id, started, dict(tags), name)
            values = [Param(key, value) for key, value in params.items()]
            self._store.client.log_batch(run.info.run_id, params=values, synchronous=True)
            return str(run.info.run_id)

    def end(
        self, run_id: str, status: Status | None, tags: Mapping[str, str], ended: int | None = None
    ) -> None:
        with self._store.errors():
            values = [RunTag(key, value) for key, value in tags.items()]
            self._store.client.log_batch(run_id, tags=values, synchronous=True)
            if status is not None:
                self._store.client.set_terminated(run_id, status, ended)

    def add_points(self, run_id: str, points: Sequence[Point]) -> None:
        metrics = [Metric(each.key, each.value, each.time, each.step) for each in points]
        with self._store.errors():
            for start in range(0, len(metrics), MOST_METRICS):
                self._store.client.log_batch(
                    run_id, metrics=metrics[start : start + MOST_METRICS], synchronous=True
                )

    def put_file(self, run_id: str, name: str, content: bytes) -> None:
        with self._store.errors():
            self._store.log_bytes(run_id, name, content)
            digest = hashlib.sha256(content).hexdigest()
            self._store.client.set_tag(run_id, f"{DIGEST}{name}", digest)

    def set_champion(self, name: str, version: str) -> None:
        with self._store.errors():
            self._store.client.set_registered_model_alias(name, "champion", version)

    def _readable(self, uri: str) -> str:
        path = Path(uri.removeprefix(SQLITE))
        if Path(f"{path}-journal").exists():
            folder = tempfile.mkdtemp()
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            for file in (path, Path(f"{path}-journal")):
                shutil.copy(file, folder)
            return f"{SQLITE}{folder}/{path.name}"
        # By its driver: for `sqlite:///` MLflow makes the folders of that path, `file:` among them.
        return f"sqlite+pysqlite:///file:{urllib.parse.quote(str(path))}?mode=ro&uri=true"

    def _all(self) -> list[str]:
        found = self._store.client.search_experiments(ViewType.ALL)
        return [str(each.experiment_id) for each in found]

    def _runs(self, experiments: list[str], wanted: str = "") -> list[Run]:
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = self._store.client.search_runs(
                experiments, wanted, ViewType.ALL, max_results=1000, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs

    def _points(self, runs: Sequence[Run]) -> dict[str, tuple[Point, ...]]:
        """By run id every point of every curve, of other metrics the last one.

        MlflowClient asks for one metric of one run at a time; a database answers for all runs at
        once, and a server is asked by several at a time.
        """
        curves = naming.curves(EpochMetrics(**dict.fromkeys(EpochMetrics.__dataclass_fields__, 0)))
        found = {
            run.info.run_id: [
                _point(each) for each in run.data._metric_objs if each.key not in curves
            ]
            for run in runs
        }
        tracking = self._store.client._tracking_client.store
        if hasattr(tracking, "get_metric_history_bulk"):
            ids = [run.info.run_id for run in runs]
            for key in curves:
                for each in tracking.get_metric_history_bulk(ids, key, 2**31 - 1):
                    found[each.run_id].append(_point(each))
        else:
            asked = [
                (run.info.run_id, key) for run in runs for key in run.data.metrics if key in curves
            ]

            def history(pair: tuple[str, str]) -> list[Metric]:
                return list(self._store.client.get_metric_history(*pair))

            with ThreadPoolExecutor(READERS) as pool:
                for (run_id, _), metrics in zip(asked, pool.map(history, asked), strict=True):
                    found[run_id] += map(_point, metrics)
        return {run_id: tuple(sorted(points)) for run_id, points in found.items()}

    def _files(self, run: Run) -> dict[str, StoredFile]:
        repository = get_artifact_repository(run.info.artifact_uri, tracking_uri=self._store.uri)
        held = [file.path for file in repository.list_artifacts() if not file.is_dir]
        return {name: self._file(run, name) for name in held}

    def _file(self, run: Run, name: str) -> StoredFile:
        try:
            with self._store.errors():
                content = self._store.artifact(run, name)
        except Exception as error:
            return StoredFile("", error=str(error))
        kept = name.endswith(".json") or name == TEST_FILE
        return StoredFile(
            hashlib.sha256(content).hexdigest(),
            content=content if kept else None,
            shapes=_shapes(content) if name == WEIGHTS else None,
        )

    def _versions(self, name: str) -> Iterable[RawVersion]:
        escaped = name.replace("'", "")
        client = self._store.client
        found = client.search_model_versions(f"name='{escaped}'")
        aliases = client.get_registered_model(name).aliases if found else {}
        for each in found:
            yield RawVersion(
                str(each.version),
                each.run_id or "",
                str(aliases.get("champion")) == str(each.version),
                each.tags,
                self._model_problem(each.source or ""),
            )

    def _model_problem(self, source: str) -> str:
        """Whether what `models:/m-...` stands for is there."""
        try:
            with self._store.errors():
                model = self._store.client.get_logged_model(source.removeprefix("models:/"))
                repository = get_artifact_repository(
                    model.artifact_location, tracking_uri=self._store.uri
                )
                there = {file.path for file in repository.list_artifacts()}
        except Exception as error:
            return str(error)
        lacking = sorted({"MLmodel", "data"} - there)
        return f"{', '.join(lacking)} of its files are gone" if lacking else ""


def _run(run: Run, points: Sequence[Point], files: Mapping[str, StoredFile]) -> RawRun:
    return RawRun(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        status=cast(Status, run.info.status),
        deleted=run.info.lifecycle_stage == "deleted",
        started=run.info.start_time,
        tags=run.data.tags,
        params=run.data.params,
        metrics=run.data.metrics,
        points=tuple(points),
        files=files,
    )


def _point(metric: Any) -> Point:
    return Point(metric.key, metric.step, metric.value, metric.timestamp)


def _shapes(content: bytes) -> dict[str, tuple[int, ...]] | None:
    try:
        return {name: tuple(each["shape"]) for name, each in safetensors.deserialize(content)}  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError:
        return None
