"""The half of a spooled tracker that asks: what is read comes from the store itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from harness.tracking.base import Tracker
from harness.tracking.types import RunRecord, StudyRun

Answer = TypeVar("Answer")


class Asking(ABC):
    @abstractmethod
    def _ask(self, question: Callable[[Tracker], Answer]) -> Answer:
        """Put a question to the store, once all of the writes before it arrived."""

    def log_champion(
        self,
        name: str,
        model: Any,
        example: Any,
        run: RunRecord,
        note: str,
        metadata: Mapping[str, Any],
    ) -> str:
        """Straight to the store: what is exported is no value that a file could hold."""
        return self._ask(
            lambda tracker: tracker.log_champion(name, model, example, run, note, metadata)
        )

    def weights(self, uid: str) -> bytes:
        return self._ask(lambda tracker: tracker.weights(uid))

    def run_id(self, uid: str) -> str:
        return self._ask(lambda tracker: tracker.run_id(uid))

    def read(self, name: str) -> StudyRun | None:
        return self._ask(lambda tracker: tracker.read(name))

    def read_run(self, run_id: str) -> StudyRun | None:
        return self._ask(lambda tracker: tracker.read_run(run_id))

    def read_file(self, run_id: str, name: str) -> bytes | None:
        return self._ask(lambda tracker: tracker.read_file(run_id, name))

    def read_files(self, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
        return self._ask(lambda tracker: tracker.read_files(run_ids, name))

    def model_run(self, address: str) -> str | None:
        return self._ask(lambda tracker: tracker.model_run(address))

    def experiments(self) -> dict[str, str]:
        return self._ask(lambda tracker: tracker.experiments())

    def studies(self) -> list[StudyRun]:
        return self._ask(lambda tracker: tracker.studies())
