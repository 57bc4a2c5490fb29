"""The reads of the tracker, each by the function that knows how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.tracking.base import ignore
from harness.tracking.mlflow import model_lookup, reader
from harness.tracking.mlflow.client import Store
from harness.tracking.mlflow.experiments import find_experiment
from harness.tracking.mlflow.name_holders import read_holder
from harness.tracking.name_holder import NameHolder
from harness.tracking.types import StudyRecord, StudyRun


class MlflowReads:
    """The methods of Tracker that only read."""

    def __init__(self, store: Store, artifacts: Path | None) -> None:
        self._store, self._artifacts = store, artifacts

    def check_name(self, record: StudyRecord) -> NameHolder:
        with self._store.map_errors():
            experiment = find_experiment(self._store, record, self._artifacts)
            return read_holder(self._store, experiment) if experiment else NameHolder()

    def read_study(self, name: str, uid: str = "") -> StudyRun | None:
        return reader.read_study(self._store, name, uid)

    def read_run(self, run_id: str) -> StudyRun | None:
        return reader.read_run(self._store, run_id)

    def read_file(self, run_id: str, name: str) -> bytes | None:
        return reader.read_file(self._store, run_id, name)

    def read_files(self, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
        return reader.read_files(self._store, run_ids, name)

    def find_model(self, run_id: str) -> str | None:
        return model_lookup.find_model(self._store, run_id)

    def find_model_run(self, address: str) -> str | None:
        return model_lookup.find_model_run(self._store, address)

    def list_experiments(self) -> dict[str, str]:
        return reader.list_experiments(self._store)

    def list_studies(self, skip: Callable[[str, str], None] = ignore) -> list[StudyRun]:
        return reader.list_studies(self._store, skip)
