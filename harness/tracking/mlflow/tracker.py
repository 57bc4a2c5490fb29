"""The Tracker that writes to MLflow. Every write is synchronous and may be repeated.

MLflow's asynchronous logging takes 50 times as long and drops batches. A write is repeated if its
answer is lost: a run is looked up by its uid before it is created, and points keep their time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow.entities import DatasetInput, Metric, Param

from harness.errors import Refused, StudyError
from harness.results import EpochMetrics, Outcome, TrialResult
from harness.system.addresses import describe_store
from harness.system.failpoints import failpoint
from harness.tracking.mlflow import experiments, points, reader
from harness.tracking.mlflow.artifacts import build_dataset_input, build_trial_files
from harness.tracking.mlflow.client import Store
from harness.tracking.mlflow.experiments import find_experiment, find_or_create_experiment
from harness.tracking.mlflow.model_writes import ModelWrites
from harness.tracking.mlflow.naming import (
    CLASSES_TAG,
    DEFINITION_TAG,
    MAX_TAG_LENGTH,
    NOTE,
    digest_tags,
    format_param,
    shorten,
)
from harness.tracking.mlflow.runs import (
    STATUS,
    find_or_create_parent,
    find_or_create_study_run,
    trial_run_name,
    trial_tags,
)
from harness.tracking.name_holder import NameHolder
from harness.tracking.raw_types import READINGS_FILE, STUDY_FILE, WEIGHTS_FILE, selection_file
from harness.tracking.test_reading import TestReading
from harness.tracking.trial_document import build_trial_document
from harness.tracking.types import Curve, State, StudyRecord
from harness.trial import Trial


class MlflowTracker(ModelWrites):
    """Implements the Tracker protocol for an MLflow store."""

    _store: Store

    def __init__(self, uri: str, artifacts: Path | None = None) -> None:
        """`artifacts` is the folder of a local store's files; None leaves it to the server."""
        super().__init__(Store(uri))
        self._artifacts = artifacts
        self._experiment_id = ""
        self._validation_labels = b""
        self._facts: dict[str, str] = {}
        self._datasets: list[DatasetInput] = []
        self._environment = ""
        self._definition: dict[str, Any] = {}
        self._started: set[str] = set()
        """The uids of the runs whose parameters this process recorded."""

    def check_name(self, record: StudyRecord) -> NameHolder:
        return experiments.check_name(self._store, record, self._artifacts)

    def open_study(self, record: StudyRecord, at: float | None = None) -> None:
        self._remember_study(record)
        with self._store.map_errors():
            self._experiment_id = find_or_create_experiment(self._store, record, self._artifacts)
            if record.kind == "train":
                return
            run_id = find_or_create_study_run(
                self._store, self._experiment_id, record, self._facts, _to_milliseconds(at)
            )
            if record.continued:
                # Its new trials have no rank yet.
                experiments.set_view(self._store, self._experiment_id, record.definition)
            self._store.log_file(run_id, STUDY_FILE, record.text.encode())
            self._store.client.log_inputs(run_id, self._datasets)
            self._parent = run_id

    def attach_study(self, record: StudyRecord) -> None:
        self._remember_study(record)
        with self._store.map_errors():
            experiment = find_experiment(
                self._store, replace(record, continued=True), self._artifacts
            )
            if experiment is None:
                where = describe_store(self._store.uri)
                raise StudyError(f"study '{record.name}' is not in {where}")
            self._experiment_id = str(experiment.experiment_id)
            if record.kind == "study":
                self._parent = self.find_run_id(record.uid)

    def _remember_study(self, record: StudyRecord) -> None:
        self._classes, self._validation_labels = record.classes, record.validation_labels
        self._definition = record.definition
        self._facts = {
            **{f"harness.{key}": value for key, value in record.facts.items()},
            CLASSES_TAG: json.dumps(record.classes),
            "harness.state": "RUNNING",
            DEFINITION_TAG: json.dumps(record.definition),
        }
        self._environment = json.dumps(record.environment)
        self._datasets = [build_dataset_input(record)]

    def start_trial(self, trial: Trial, at: float | None = None) -> None:
        tags = trial_tags(trial, is_single=not self._parent)
        tags["harness.environment"] = self._environment
        if not self._parent:
            tags = self._facts | tags
        params = [Param(name, format_param(value)) for name, value in trial.spec.to_dict().items()]
        with self._store.map_errors():
            run_id = self._store.find_run_id(trial.uid, self._experiment_id)
            if run_id is None:
                if self._parent:
                    tags["mlflow.parentRunId"] = find_or_create_parent(
                        self._store, self._experiment_id, self._parent, trial
                    )
                run_id = self._store.create_run(
                    self._experiment_id,
                    trial.uid,
                    trial_run_name(trial),
                    tags,
                    _to_milliseconds(at),
                )
                failpoint("mlflow.created")
            self._store.log(run_id, params=params)
            if not self._parent:
                self._store.client.log_inputs(run_id, self._datasets)
            self._started.add(trial.uid)

    def log_epochs(self, uid: str, metrics: Sequence[EpochMetrics]) -> None:
        with self._store.map_errors():
            self._store.log(self.find_run_id(uid), points.curve_points(metrics))

    def finish_trial(
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
            self.start_trial(trial)  # an earlier driver may have died before it recorded them all
        run_id = self.find_run_id(trial.uid)
        tags = {"harness.state": state, "harness.worker": worker, "harness.reason": reason}
        if successor is not None:
            tags["harness.successor"] = str(successor)
        result = outcome if isinstance(outcome, TrialResult) else None
        with self._store.map_errors():
            if epochs:
                document = build_trial_document(trial.spec, epochs, worker, result)
                files = build_trial_files(document, result, self._classes, self._validation_labels)
                if result is not None and keep:
                    files[WEIGHTS_FILE] = result.weights
                self._store.log_files(run_id, files)
                tags |= digest_tags(files)
                failpoint("mlflow.filed")
            self._store.log(
                run_id,
                points.result_points(result, self._classes, trial.costs) if result else (),
                tags={key: value for key, value in tags.items() if value},
            )
            failpoint("mlflow.tagged")
            self._store.client.set_terminated(run_id, STATUS[state], _to_milliseconds(at))
            if displaced:
                self._store.delete_file(self.find_run_id(displaced), WEIGHTS_FILE)

    def log_selection(self, uid: str, selection: Mapping[str, Any]) -> None:
        content = json.dumps(selection, indent=1).encode()
        with self._store.map_errors():
            self._store.log_file(self.find_run_id(uid), selection_file(selection["hash"]), content)

    def log_test(self, uid: str, reading: TestReading, champion: bool = True) -> None:
        run_id = self.find_run_id(uid)
        with self._store.map_errors():
            run = self._store.client.get_run(run_id)
            readings = reader.read_readings(self._store, run)
            key = reading.selection, reading.number
            others = [each for each in readings if (each.selection, each.number) != key]
            if champion:
                # The model's page shows them too. Steps start at 0, so one value is drawn as a bar.
                step = len({each.selection for each in others})
                self._log_reading(run_id, reading, step, self.find_champion_model(run))
            if self._parent:
                trial_uid = reading.run or f"{uid}/{reading.number}"
                self._log_reading(self.find_run_id(trial_uid), reading)
            # Last: if this fails, the trial counts as not evaluated.
            content = json.dumps([each.to_dict() for each in (*others, reading)]).encode()
            self._store.log_file(run_id, READINGS_FILE, content)

    def _log_reading(
        self, run_id: str, reading: TestReading, step: int = 0, model: str | None = None
    ) -> None:
        metrics = points.reading_points(reading, self._classes, step, model)
        self._store.log(run_id, metrics)

    def log_replay(
        self, run_id: str, outcome: str, metrics: Mapping[str, float], at: float | None = None
    ) -> None:
        now = _to_milliseconds(at)
        with self._store.map_errors():
            run = self._store.client.get_run(run_id)
            values = points.later_points(run, metrics, now)
            self._store.log(run_id, values, tags={"harness.replay": outcome})

    def load_weights(self, uid: str) -> bytes:
        with self._store.map_errors():
            return self._store.read_artifact(
                self._store.client.get_run(self.find_run_id(uid)), WEIGHTS_FILE
            )

    def log_file(self, uid: str, name: str, content: bytes) -> None:
        with self._store.map_errors():
            self._store.log_file(self.find_run_id(uid), name, content)

    def close_study(
        self,
        uid: str,
        state: State,
        *,
        reason: str = "",
        note: str = "",
        metrics: Mapping[str, float] | None = None,
        curves: Mapping[str, Curve] | None = None,
        trial_metrics: Mapping[str, Mapping[str, float]] | None = None,
        at: float | None = None,
    ) -> None:
        run_id, now = self.find_run_id(uid), _to_milliseconds(at)
        with self._store.map_errors():
            self._store.delete_duplicate_runs(self._experiment_id, uid)
            run = self._store.client.get_run(run_id)
            self._store.log(
                run_id,
                points.later_points(run, metrics or {}, now),
                tags={"harness.state": state, "harness.reason": reason},
            )
            for key, curve in (curves or {}).items():
                self._store.log(run_id, [Metric(key, value, now, step) for step, value in curve])
            self._log_trial_metrics(trial_metrics or {}, now)
            if note:
                self._store.client.set_tag(run_id, NOTE, note := shorten(note, MAX_TAG_LENGTH))
                self._store.client.set_experiment_tag(self._experiment_id, NOTE, note)
            self._store.client.set_terminated(run_id, STATUS[state], now)

    def _log_trial_metrics(self, metrics: Mapping[str, Mapping[str, float]], when: int) -> None:
        """Log metrics of trials, and show them in the saved view."""
        for uid, values in metrics.items():
            run = self._store.client.get_run(self.find_run_id(uid))
            self._store.log(run.info.run_id, points.later_points(run, values, when))
        names = {name for values in metrics.values() for name in values}
        if names:
            experiments.set_view(self._store, self._experiment_id, self._definition, names)

    def find_run_id(self, uid: str) -> str:
        run_id = self._store.find_run_id(uid, self._experiment_id)
        if run_id is None:
            raise Refused(f"no run for trial {uid} in {describe_store(self._store.uri)}")
        return run_id


def _to_milliseconds(at: float | None) -> int:
    return int((at or time.time()) * 1000)
