"""A tracker that keeps everything in dictionaries: the working fake for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.errors import Refused, StoreError, StudyError
from harness.results import EpochMetrics, Outcome, TrialResult
from harness.tracking.base import NO_FILES, ignore
from harness.tracking.epoch_predictions import EPOCH_PREDICTIONS_FILE, EpochPredictions
from harness.tracking.name_holder import NameHolder
from harness.tracking.predictions import PREDICTIONS_FILE, Predictions
from harness.tracking.raw_types import WEIGHTS_FILE
from harness.tracking.test_reading import TestReading
from harness.tracking.types import CONFIRM_INFIX, Curve, RunRecord, State, StudyRecord, StudyRun
from harness.trial import Trial


class InMemoryTracker:
    """Implements the Tracker protocol; the store's ids are the uids."""

    def __init__(self) -> None:
        self.records: dict[str, StudyRecord] = {}
        self.runs: dict[str, RunRecord] = {}
        self.saved_weights: dict[str, bytes] = {}
        self.readings: dict[str, list[TestReading]] = {}
        self.models: dict[str, Any] = {}
        self.model_runs: dict[str, str] = {}
        self.ensemble_digests: dict[str, str] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.end_states: dict[str, tuple[State, str]] = {}
        self.selections: dict[str, list[Mapping[str, Any]]] = {}
        self._open: StudyRecord | None = None

    def open_study(self, record: StudyRecord, at: float | None = None) -> None:
        self.check_name(record)
        older = self.records.get(record.name)
        if record.set_aside and older is not None and older.uid != record.uid:
            self.records[f"{record.name}.{record.set_aside}"] = self.records.pop(record.name)
        self._open = self.records[record.name] = record

    def attach_study(self, record: StudyRecord) -> None:
        if all(each.uid != record.uid for each in self.records.values()):
            raise StudyError(f"study '{record.name}' is not in the store")
        self._open = record

    def start_trial(self, trial: Trial, at: float | None = None) -> None:
        if trial.uid in self.runs:
            return
        self.runs[trial.uid] = RunRecord(
            uid=trial.uid,
            run_id=trial.uid,
            number=trial.number if trial.confirms is None else trial.confirms,
            state="RUNNING",
            spec=trial.spec,
            split=trial.split,
            started=at or time.time(),
            environment=self._open.environment if self._open else {},
        )

    def log_epochs(self, uid: str, metrics: Sequence[EpochMetrics]) -> None:
        self._run(uid)
        epochs = self.runs[uid].epochs
        new = [epoch for epoch in metrics if epoch not in epochs]
        self.runs[uid] = replace(self.runs[uid], epochs=(*epochs, *new))

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
        self.start_trial(trial)
        run = replace(
            self.runs[trial.uid], state=state, worker=worker, reason=reason, ended=at or time.time()
        )
        if isinstance(outcome, TrialResult):
            run = replace(
                run,
                best=outcome.best,
                metrics=outcome.best.best_metrics
                | {f"cost/{name}": value for name, value in trial.costs},
                parameters=outcome.parameters,
                confusion=outcome.confusion,
                interval=outcome.interval,
                mae_interval=outcome.mae_interval,
                score_metric=outcome.score_metric,
                score_interval=outcome.score_interval,
            )
            labels = self._open.validation_labels if self._open else b""
            if outcome.by_epoch:
                labels = EpochPredictions.from_bytes(outcome.by_epoch).true.tobytes()
                self.log_file(trial.uid, EPOCH_PREDICTIONS_FILE, outcome.by_epoch)
            if self._open is not None and labels:
                predictions = Predictions(
                    labels,
                    outcome.predictions,
                    is_regression=not self._open.classes,
                )
                self.log_file(trial.uid, PREDICTIONS_FILE, predictions.to_bytes())
            if keep:
                self.saved_weights[trial.uid] = outcome.weights
        self.saved_weights.pop(displaced, None)
        self.runs[trial.uid] = run

    def load_weights(self, uid: str) -> bytes:
        if uid not in self.saved_weights:
            raise StoreError(f"no weights are kept for trial {uid}")
        return self.saved_weights[uid]

    def find_run_id(self, uid: str) -> str:
        return uid

    def log_selection(self, uid: str, selection: Mapping[str, Any]) -> None:
        self.selections.setdefault(uid, []).append(selection)

    def log_test(self, uid: str, reading: TestReading, champion: bool = True) -> None:
        readings = self.readings.setdefault(uid, [])
        key = (reading.selection, reading.number)
        if not any((other.selection, other.number) == key for other in readings):
            readings.append(reading)

    def log_replay(
        self, run_id: str, outcome: str, metrics: Mapping[str, float], at: float | None = None
    ) -> None:
        run = self._run(run_id)
        self.runs[run_id] = replace(run, replay=outcome, metrics={**run.metrics, **metrics})

    def log_champion(
        self,
        name: str,
        model: Any,
        example: Any,
        run: RunRecord,
        note: str,
        metadata: Mapping[str, Any],
        scoring: Mapping[str, str] = NO_FILES,
    ) -> str:
        self.models[name] = model
        self.model_runs[name] = run.run_id
        return f"models:/{name}@champion"

    def log_ensemble(
        self,
        name: str,
        model: Any,
        example: Any,
        digest: str,
        note: str,
        metadata: Mapping[str, Any],
        scoring: Mapping[str, str] = NO_FILES,
    ) -> str:
        self.ensemble_digests[name] = digest
        return f"models:/{name}@ensemble"

    def log_file(self, uid: str, name: str, content: bytes) -> None:
        self.files.setdefault(uid, {})[name] = content

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
        self.end_states[uid] = (state, reason)
        for trial, values in (trial_metrics or {}).items():
            run = self.runs[trial]
            self.runs[trial] = replace(run, metrics={**run.metrics, **values})

    def check_name(self, record: StudyRecord) -> NameHolder:
        older = self.records.get(record.name)
        if older is None:
            return NameHolder()
        is_ours = older.uid == record.uid or record.kind == "train"
        if not is_ours and (not record.set_aside or record.set_aside_uid not in ("", older.uid)):
            raise StudyError(f"the name '{record.name}' is taken by another study, {older.uid}")
        return NameHolder(frozenset({older.uid}), older.facts)

    def read_study(self, name: str, uid: str = "") -> StudyRun | None:
        records = [each for each in self.records.values() if each.uid == uid]
        record = records[0] if records else self.records.get(name)
        if record is None or record.uid != (uid or record.uid):
            return None
        runs = [run for uid, run in self.runs.items() if uid.split("/")[0] == record.uid]
        trials = [run for run in runs if CONFIRM_INFIX not in run.uid]
        return StudyRun(
            name=name,
            uid=record.uid,
            run_id=record.uid,
            experiment_id=name,
            facts=record.facts,
            classes=record.classes,
            definition=record.definition,
            readings=tuple(self.readings.get(record.uid, ())),
            started=min((run.started for run in trials), default=0.0),
            ended=None,
            state=self.end_states.get(record.uid, ("RUNNING", ""))[0],
            trials=tuple(sorted(trials, key=lambda run: run.number)),
            confirmation_runs=tuple(run for run in runs if CONFIRM_INFIX in run.uid),
        )

    def read_run(self, run_id: str) -> StudyRun | None:
        for record in self.records.values():
            study = self.read_study(record.name)
            if study is not None and run_id == study.run_id:
                return study
            if study is None:
                continue
            trials = tuple(run for run in study.trials if run.run_id == run_id)
            confirmations = tuple(run for run in study.confirmation_runs if run.run_id == run_id)
            if trials or confirmations:
                return replace(study, trials=trials, confirmation_runs=confirmations)
        return None

    def read_file(self, run_id: str, name: str) -> bytes | None:
        if name == WEIGHTS_FILE:
            return self.saved_weights.get(run_id)
        return self.files.get(run_id, {}).get(name)

    def read_files(self, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
        files = {run_id: self.read_file(run_id, name) for run_id in run_ids}
        return {run_id: content for run_id, content in files.items() if content is not None}

    def find_model(self, run_id: str) -> str | None:
        names = [name for name, run in self.model_runs.items() if run == run_id]
        return f"models:/{names[0]}@champion" if names else None

    def find_model_run(self, address: str) -> str | None:
        runs = {f"models:/{name}@champion": run for name, run in self.model_runs.items()}
        return runs.get(address)

    def find_ensemble(self, address: str) -> tuple[str, str] | None:
        name = address.removeprefix("models:/").removesuffix("@ensemble")
        digest = self.ensemble_digests.get(name) if address.endswith("@ensemble") else None
        return None if digest is None else (name, digest)

    def list_experiments(self) -> dict[str, str]:
        return {name: name for name in reversed(self.records)}

    def list_studies(self, skip: Callable[[str, str], None] = ignore) -> list[StudyRun]:
        studies = [self.read_study(name) for name in self.records]
        return [study for study in studies if study is not None]

    def _run(self, uid: str) -> RunRecord:
        if uid not in self.runs:
            raise Refused(f"no run for trial {uid}")
        return self.runs[uid]
