"""The reads of an outbox tracker: they go to the store once every write was sent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from harness.tracking.base import NO_FILES, Tracker, ignore
from harness.tracking.name_holder import NameHolder
from harness.tracking.types import RunRecord, StudyRecord, StudyRun

Result = TypeVar("Result")


class StoreReads(ABC):
    """The methods of Tracker that need the store itself."""

    @abstractmethod
    def _request(self, request: Callable[[Tracker], Result]) -> Result:
        """Send all writes, then call `request` with the store's tracker."""

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
        """Write directly to the store: a model cannot be kept as JSON in the outbox."""
        return self._request(
            lambda tracker: tracker.log_champion(name, model, example, run, note, metadata, scoring)
        )

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
        """Write directly to the store, as `log_champion`."""
        return self._request(
            lambda tracker: tracker.log_ensemble(
                name, model, example, digest, note, metadata, scoring
            )
        )

    def attach_study(self, record: StudyRecord) -> None:
        self._request(lambda tracker: tracker.attach_study(record))

    def load_weights(self, uid: str) -> bytes:
        return self._request(lambda tracker: tracker.load_weights(uid))

    def find_run_id(self, uid: str) -> str:
        return self._request(lambda tracker: tracker.find_run_id(uid))

    def check_name(self, record: StudyRecord) -> NameHolder:
        return self._request(lambda tracker: tracker.check_name(record))

    def read_study(self, name: str, uid: str = "") -> StudyRun | None:
        return self._request(lambda tracker: tracker.read_study(name, uid))

    def read_run(self, run_id: str) -> StudyRun | None:
        return self._request(lambda tracker: tracker.read_run(run_id))

    def read_file(self, run_id: str, name: str) -> bytes | None:
        return self._request(lambda tracker: tracker.read_file(run_id, name))

    def read_files(self, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
        return self._request(lambda tracker: tracker.read_files(run_ids, name))

    def find_model(self, run_id: str) -> str | None:
        return self._request(lambda tracker: tracker.find_model(run_id))

    def find_model_run(self, address: str) -> str | None:
        return self._request(lambda tracker: tracker.find_model_run(address))

    def find_ensemble(self, address: str) -> tuple[str, str] | None:
        return self._request(lambda tracker: tracker.find_ensemble(address))

    def list_experiments(self) -> dict[str, str]:
        return self._request(lambda tracker: tracker.list_experiments())

    def list_studies(self, skip: Callable[[str, str], None] = ignore) -> list[StudyRun]:
        return self._request(lambda tracker: tracker.list_studies(skip))
