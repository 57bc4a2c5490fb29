"""A tracker that keeps everything in dictionaries: the working fake for tests of others."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.errors import StoreError
from harness.results import EpochMetrics, Outcome, TrialResult
from harness.tracking.predictions import FILE, Predictions
from harness.tracking.types import (
    CONFIRMING,
    Curve,
    RunRecord,
    State,
    StudyRecord,
    StudyRun,
    TestReading,
)
from harness.trial import Trial


class MemoryTracker:
    def __init__(self) -> None:
        self.records: dict[str, StudyRecord] = {}
        self.runs: dict[str, RunRecord] = {}
        self.kept: dict[str, bytes] = {}
        self.readings: dict[str, list[TestReading]] = {}
        self.models: dict[str, Any] = {}
        self.model_runs: dict[str, str] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.closed: dict[str, tuple[State, str]] = {}
        self.selections: dict[str, list[Mapping[str, Any]]] = {}
        self._open: StudyRecord | None = None

    def open(self, record: StudyRecord, at: float | None = None) -> None:
        before = self.records.get(record.name)
        if record.set_aside and before is not None and before.uid != record.uid:
            self.records[f"{record.name}.{record.set_aside}"] = self.records.pop(record.name)
        self._open = self.records[record.name] = record

    def start(self, trial: Trial, at: float | None = None) -> None:
        if trial.uid in self.runs:
            return
        self.runs[trial.uid] = RunRecord(
            uid=trial.uid,
            run_id=trial.uid,
            number=trial.number if trial.confirms is None else trial.confirms,
            state="RUNNING",
            spec=trial.spec,
            started=at or time.time(),
            environment=self._open.environment if self._open else {},
        )

    def log_epochs(self, uid: str, metrics: Sequence[EpochMetrics]) -> None:
        self._run(uid)
        before = self.runs[uid].epochs
        new = [each for each in metrics if each not in before]
        self.runs[uid] = replace(self.runs[uid], epochs=(*before, *new))

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
        self.start(trial)
        run = replace(
            self.runs[trial.uid], state=state, worker=worker, reason=reason, ended=at or time.time()
        )
        if isinstance(outcome, TrialResult):
            run = replace(
                run,
                best=outcome.best,
                metrics=outcome.best.best_figures,
                parameters=outcome.parameters,
                confusion=outcome.confusion,
                interval=outcome.interval,
            )
            if self._open is not None and self._open.validation_labels:
                predictions = Predictions(
                    self._open.validation_labels,
                    outcome.predictions,
                    numbers=not self._open.classes,
                )
                self.log_file(trial.uid, FILE, predictions.to_file())
            if keep:
                self.kept[trial.uid] = outcome.weights
        self.kept.pop(displaced, None)
        self.runs[trial.uid] = run

    def weights(self, uid: str) -> bytes:
        if uid not in self.kept:
            raise StoreError(f"no weights are kept for trial {uid}")
        return self.kept[uid]

    def run_id(self, uid: str) -> str:
        return uid

    def log_selection(self, uid: str, selection: Mapping[str, Any]) -> None:
        self.selections.setdefault(uid, []).append(selection)

    def log_test(self, uid: str, reading: TestReading, champion: bool = True) -> None:
        known = self.readings.setdefault(uid, [])
        if not any(
            (each.selection, each.number) == (reading.selection, reading.number) for each in known
        ):
            known.append(reading)

    def log_replay(
        self, run_id: str, found: str, metrics: Mapping[str, float], at: float | None = None
    ) -> None:
        run = self._run(run_id)
        self.runs[run_id] = replace(run, replay=found, metrics={**run.metrics, **metrics})

    def log_champion(
        self,
        name: str,
        model: Any,
        example: Any,
        run: RunRecord,
        note: str,
        metadata: Mapping[str, Any],
    ) -> str:
        self.models[name] = model
        self.model_runs[name] = run.run_id
        return f"models:/{name}@champion"

    def log_file(self, uid: str, name: str, content: bytes) -> None:
        self.files.setdefault(uid, {})[name] = content

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
        self.closed[uid] = (state, reason)

    def read(self, name: str) -> StudyRun | None:
        if name not in self.records:
            return None
        record = self.records[name]
        runs = [run for uid, run in self.runs.items() if uid.split("/")[0] == record.uid]
        trials = [run for run in runs if CONFIRMING not in run.uid]
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
            state=self.closed.get(record.uid, ("RUNNING", ""))[0],
            trials=tuple(sorted(trials, key=lambda run: run.number)),
            confirming=tuple(run for run in runs if CONFIRMING in run.uid),
        )

    def read_run(self, run_id: str) -> StudyRun | None:
        for record in self.records.values():
            study = self.read(record.name)
            if study is not None and run_id == study.run_id:
                return study
            if study is None:
                continue
            trials = tuple(run for run in study.trials if run.run_id == run_id)
            again = tuple(run for run in study.confirming if run.run_id == run_id)
            if trials or again:
                return replace(study, trials=trials, confirming=again)
        return None

    def read_file(self, run_id: str, name: str) -> bytes | None:
        return self.files.get(run_id, {}).get(name)

    def read_files(self, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
        found = {run_id: self.read_file(run_id, name) for run_id in run_ids}
        return {run_id: content for run_id, content in found.items() if content is not None}

    def model_run(self, address: str) -> str | None:
        named = {f"models:/{name}@champion": run for name, run in self.model_runs.items()}
        return named.get(address)

    def experiments(self) -> dict[str, str]:
        return {name: name for name in reversed(self.records)}

    def studies(self) -> list[StudyRun]:
        found = [self.read(name) for name in self.records]
        return [study for study in found if study is not None]

    def _run(self, uid: str) -> RunRecord:
        if uid not in self.runs:
            raise StoreError(f"no run for trial {uid}")
        return self.runs[uid]
