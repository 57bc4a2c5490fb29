"""The writes of an outbox tracker: each is appended to the outbox."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import harness.tracking.outbox.messages as messages
from harness.results import EpochMetrics, Outcome
from harness.tracking.test_reading import TestReading
from harness.tracking.types import Curve, State
from harness.trial import Trial


class StoreWrites(ABC):
    """The methods of Tracker that only write."""

    @abstractmethod
    def _write(self, write: messages.Write) -> None:
        """Append a write."""

    def log_epochs(self, uid: str, metrics: Sequence[EpochMetrics]) -> None:
        self._write(messages.LogEpochs(uid=uid, metrics=tuple(metrics)))

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
        self._write(
            messages.FinishTrial.from_outcome(
                trial,
                state,
                outcome,
                keep,
                worker=worker,
                epochs=tuple(epochs),
                reason=reason,
                successor=successor,
                displaced=displaced,
                at=at or time.time(),
            )
        )

    def log_selection(self, uid: str, selection: Mapping[str, Any]) -> None:
        self._write(messages.LogSelection(uid=uid, selection=dict(selection)))

    def log_test(self, uid: str, reading: TestReading, champion: bool = True) -> None:
        self._write(messages.LogTest(uid=uid, reading=reading, champion=champion))

    def log_file(self, uid: str, name: str, content: bytes) -> None:
        self._write(messages.LogFile(uid=uid, name=name, content=content))

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
        self._write(
            messages.CloseStudy(
                uid=uid,
                state=state,
                reason=reason,
                note=note,
                metrics=dict(metrics or {}),
                curves=dict(curves or {}),
                trial_metrics={key: dict(each) for key, each in (trial_metrics or {}).items()},
                at=at or time.time(),
            )
        )

    def log_replay(
        self, run_id: str, outcome: str, metrics: Mapping[str, float], at: float | None = None
    ) -> None:
        replay = messages.LogReplay(
            run_id=run_id, found=outcome, metrics=dict(metrics), at=at or time.time()
        )
        self._write(replay)
