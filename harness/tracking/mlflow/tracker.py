"""The write side. Ids are passed explicitly, every write is synchronous and may be repeated.

MLflow's asynchronous logging takes 50 times as long and drops batches after its retries. A call
whose answer was lost has been carried out: a run is looked up by its uid before one is made, points
keep their time (MLflow drops exact doubles), files are overwritten.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag

from harness.errors import StoreError, StudyError, masked
from harness.results import EpochMetrics, Outcome, TrialResult
from harness.system.failpoints import failpoint
from harness.tracking.mlflow import model_registry as champions
from harness.tracking.mlflow import points, reader
from harness.tracking.mlflow.artifacts import dataset_input, trial_files
from harness.tracking.mlflow.client import Store
from harness.tracking.mlflow.experiments import experiment_of
from harness.tracking.mlflow.naming import definition_tags, digest_tags, shown
from harness.tracking.mlflow.runs import name_of, parent_of, tags_of
from harness.tracking.raw_types import READINGS, WEIGHTS
from harness.tracking.types import (
    Curve,
    RunRecord,
    State,
    StudyRecord,
    StudyRun,
    TestReading,
    trial_document,
)
from harness.trial import Trial

STATUS = {
    "COMPLETE": "FINISHED",
    "PRUNED": "FINISHED",
    "FAILED": "FAILED",
    "INTERRUPTED": "KILLED",
}
NOTE = "mlflow.note.content"
"""MLflow shows this tag as markdown."""


class MlflowTracker:
    """`artifacts` is where a local store keeps files; None leaves the choice to the server."""

    def __init__(self, uri: str, artifacts: Path | None = None) -> None:
        self._store, self._artifacts = Store(uri), artifacts
        self._experiment_id = ""
        self._classes: tuple[str, ...] = ()
        self._validation_labels = b""
        self._facts: dict[str, str] = {}
        self._environment = ""
        self._parent = ""
        """The study's run id; empty for `train`, whose runs stand alone."""
        self._started: set[str] = set()
        """The uids whose runs this process gave their params."""

    def open(self, record: StudyRecord, at: float | None = None) -> None:
        self._classes, self._validation_labels = record.classes, record.validation_labels
        self._facts = {
            **{f"harness.{key}": value for key, value in record.facts.items()},
            "harness.classes": json.dumps(record.classes),
            "harness.state": "RUNNING",
            **definition_tags(record.definition),
        }
        self._environment = json.dumps(record.environment)
        with self._store.errors():
            self._experiment_id = experiment_of(self._store, record, self._artifacts)
            if record.kind == "train":
                return
            found = self._store.find(record.uid, self._experiment_id)
            if found is None:
                if record.continued:
                    raise StudyError(
                        f"study '{record.name}' has trials in its journal, but none of them in "
                        f"{masked(self._store.uri)}; give back what was deleted there, or start "
                        "over with --fresh"
                    )
                tags = {"harness.kind": "study", "harness.uid": record.uid} | self._facts
                run = self._store.client.create_run(
                    self._experiment_id, _milliseconds(at), tags, record.name
                )
                found = self._store.remember(record.uid, run.info.run_id)
                failpoint("mlflow.opened")
            else:
                self._store.client.update_run(found, status="RUNNING")
                changed = [RunTag(key, value) for key, value in self._facts.items()]
                self._store.client.log_batch(found, tags=changed)
            self._store.log_bytes(found, "study.toml", record.text.encode())
            self._store.client.log_inputs(found, [dataset_input(record)])
            self._parent = found

    def start(self, trial: Trial, at: float | None = None) -> None:
        tags = tags_of(trial, alone=not self._parent) | {"harness.environment": self._environment}
        if not self._parent:
            tags = self._facts | tags
        params = [Param(name, shown(value)) for name, value in trial.spec.to_dict().items()]
        with self._store.errors():
            run_id = self._store.find(trial.uid, self._experiment_id)
            if run_id is None:
                if self._parent:
                    above = parent_of(self._store, self._experiment_id, self._parent, trial)
                    tags["mlflow.parentRunId"] = above
                run = self._store.client.create_run(
                    self._experiment_id, _milliseconds(at), tags, name_of(trial)
                )
                run_id = self._store.remember(trial.uid, run.info.run_id)
                failpoint("mlflow.created")
            self._store.client.log_batch(run_id, params=params, synchronous=True)
            self._started.add(trial.uid)

    def log_epochs(self, uid: str, metrics: Sequence[EpochMetrics]) -> None:
        with self._store.errors():
            for metrics_of_call in points.of_curves(metrics):
                self._store.client.log_batch(
                    self.run_id(uid), metrics=metrics_of_call, synchronous=True
                )

    def finish(
        self,
        trial: Trial,
        state: State,
        *,
        worker: str = "",
        epochs: Sequence[EpochMetrics] = (),
        outcome: Outcome | None = None,
        reason: str = "",
        successor: int | None = None,
        keep: bool = False,
        displaced: str = "",
        at: float | None = None,
    ) -> None:
        if trial.uid not in self._started:
            self.start(trial)  # whoever asked for it may have died before its run had all params
        run_id = self.run_id(trial.uid)
        tags = {"harness.state": state, "harness.worker": worker, "harness.reason": reason}
        if successor is not None:
            tags["harness.successor"] = str(successor)
        result = outcome if isinstance(outcome, TrialResult) else None
        with self._store.errors():
            if epochs:
                document = trial_document(trial.spec, epochs, worker, result)
                files = trial_files(document, result, self._classes, self._validation_labels)
                if result is not None and keep:
                    files[WEIGHTS] = result.weights
                self._store.log_files(run_id, files)
                tags |= digest_tags(files)
                failpoint("mlflow.filed")
            self._store.client.log_batch(
                run_id,
                metrics=points.of_result(result, self._classes) if result else (),
                tags=[RunTag(key, value) for key, value in tags.items() if value],
                synchronous=True,
            )
            failpoint("mlflow.tagged")
            self._store.client.set_terminated(run_id, STATUS[state], _milliseconds(at))
            if displaced:
                self._store.delete_file(self.run_id(displaced), WEIGHTS)

    def log_selection(self, uid: str, selection: Mapping[str, Any]) -> None:
        content = json.dumps(selection, indent=1).encode()
        with self._store.errors():
            self._store.log_bytes(
                self.run_id(uid), f"selection-{selection['hash'][:12]}.json", content
            )

    def log_test(self, uid: str, reading: TestReading, champion: bool = True) -> None:
        run_id = self.run_id(uid)
        with self._store.errors():
            run = self._store.client.get_run(run_id)
            known = reader.readings(self._store, run)
            mine = reading.selection, reading.number
            before = [each for each in known if (each.selection, each.number) != mine]
            if champion:
                # The model's page shows them too. From step 0, as one value each, they are bars.
                looks = len({each.selection for each in before})
                self._log_reading(run_id, reading, looks, champions.model_id(run))
            if self._parent:
                self._log_reading(self.run_id(reading.run or f"{uid}/{reading.number}"), reading)
            # Last: where this fails, the trial counts as not read.
            content = json.dumps([each.to_dict() for each in (*before, reading)]).encode()
            self._store.log_bytes(run_id, READINGS, content)

    def _log_reading(
        self, run_id: str, reading: TestReading, step: int = 0, model: str | None = None
    ) -> None:
        metrics = points.of_reading(reading, self._classes, step, model)
        self._store.client.log_batch(run_id, metrics=metrics, synchronous=True)

    def log_replay(
        self, run_id: str, found: str, metrics: Mapping[str, float], at: float | None = None
    ) -> None:
        now = _milliseconds(at)
        with self._store.errors():
            self._store.client.log_batch(
                run_id,
                metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
                tags=[RunTag("harness.replay", found)],
                synchronous=True,
            )

    def weights(self, uid: str) -> bytes:
        with self._store.errors():
            return self._store.artifact(self._store.client.get_run(self.run_id(uid)), WEIGHTS)

    def log_champion(
        self,
        name: str,
        model: Any,
        example: Any,
        run: RunRecord,
        note: str,
        metadata: Mapping[str, Any],
    ) -> str:
        tags = {"harness.trial": str(run.number), "harness.trial_run": run.run_id}
        outputs, parent = len(self._classes) or 1, self._parent
        with self._store.errors():
            return champions.log_champion(
                self._store, parent, name, model, example, outputs, note, tags, dict(metadata)
            )

    def log_file(self, uid: str, name: str, content: bytes) -> None:
        with self._store.errors():
            self._store.log_bytes(self.run_id(uid), name, content)

    def close(
        self,
        uid: str,
        state: State,
        *,
        reason: str = "",
        note: str = "",
        metrics: Mapping[str, float] | None = None,
        curves: Mapping[str, Curve] | None = None,
        at: float | None = None,
    ) -> None:
        run_id, now = self.run_id(uid), _milliseconds(at)
        with self._store.errors():
            self._store.delete_doubles(self._experiment_id)
            self._store.client.log_batch(
                run_id,
                metrics=[
                    Metric(key, value, now, self._last_step(run_id, key))
                    for key, value in (metrics or {}).items()
                ],
                tags=[RunTag("harness.state", state), RunTag("harness.reason", reason)],
                synchronous=True,
            )
            for key, curve in (curves or {}).items():
                points = [Metric(key, value, now, step) for step, value in curve]
                self._store.client.log_batch(run_id, metrics=points, synchronous=True)
            if note:
                self._store.client.set_tag(run_id, NOTE, note)
                self._store.client.set_experiment_tag(self._experiment_id, NOTE, note)
            self._store.client.set_terminated(run_id, STATUS[state], now)

    def _last_step(self, run_id: str, key: str) -> int:
        """Of what the test set showed: MLflow shows the value of the latest opening, not ours."""
        if not key.startswith("test/"):
            return 0
        history = self._store.client.get_metric_history(run_id, key)
        return max((point.step for point in history), default=0)

    def read(self, name: str) -> StudyRun | None:
        return reader.read(self._store, name)

    def read_run(self, run_id: str) -> StudyRun | None:
        return reader.read_run(self._store, run_id)

    def read_file(self, run_id: str, name: str) -> bytes | None:
        return reader.read_file(self._store, run_id, name)

    def read_files(self, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
        return reader.read_files(self._store, run_ids, name)

    def model_run(self, address: str) -> str | None:
        return champions.model_run(self._store, address)

    def experiments(self) -> dict[str, str]:
        return reader.experiments(self._store)

    def studies(self) -> list[StudyRun]:
        return reader.studies(self._store)

    def run_id(self, uid: str) -> str:
        found = self._store.find(uid, self._experiment_id)
        if found is None:
            raise StoreError(f"no run for trial {uid} in {masked(self._store.uri)}")
        return found


def _milliseconds(at: float | None) -> int:
    return int((at or time.time()) * 1000)
