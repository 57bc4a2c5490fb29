"""The reads of the tracker, each by the function that knows how."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.tracking.base import ignore
from harness.tracking.mlflow import model_lookup, reader
from harness.tracking.mlflow.base_store import BaseStore
from harness.tracking.types import StudyRun


class MlflowReads:
    """The methods of Tracker that only read."""

    _store: BaseStore

    def __init__(self, store: BaseStore) -> None:
        self._store = store

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

    def find_ensemble(self, address: str) -> tuple[str, str] | None:
        return model_lookup.find_ensemble(self._store, address)

    def list_experiments(self) -> dict[str, str]:
        return reader.list_experiments(self._store)

    def list_studies(self, skip: Callable[[str, str], None] = ignore) -> list[StudyRun]:
        return reader.list_studies(self._store, skip)
