"""The writes to a tracker as values that go to the outbox file as JSON.

There is one class for each writing method of harness.tracking.base.Tracker; `send` calls it.
Sending a write twice changes nothing, because it holds the time of its event.

The field names and `kind` are keys in files on disk, so they must not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Base64Bytes, ConfigDict, Field, TypeAdapter

from harness.results import EpochMetrics, Outcome, TrialResult
from harness.tracking.base import Tracker
from harness.tracking.test_reading import TestReading
from harness.tracking.types import Curve, State, StudyRecord
from harness.trial import Trial


@dataclass(frozen=True, kw_only=True)
class OpenStudy:
    record: StudyRecord
    at: float
    labels: Base64Bytes = b""
    """The record's validation labels; `record` itself has none."""
    attach: bool = False
    """Whether the study is in the store, and stays as it is there."""
    kind: Literal["open"] = "open"

    @classmethod
    def from_record(cls, record: StudyRecord, at: float) -> OpenStudy:
        without_labels = replace(record, validation_labels=b"")
        return cls(record=without_labels, at=at, labels=record.validation_labels)

    def send(self, tracker: Tracker) -> None:
        record = replace(self.record, validation_labels=self.labels)
        if self.attach:
            tracker.attach_study(record)
        else:
            tracker.open_study(record, at=self.at)


@dataclass(frozen=True, kw_only=True)
class StartTrial:
    trial: Trial
    at: float
    kind: Literal["start"] = "start"

    def send(self, tracker: Tracker) -> None:
        tracker.start_trial(self.trial, at=self.at)


@dataclass(frozen=True, kw_only=True)
class LogEpochs:
    uid: str
    metrics: tuple[EpochMetrics, ...]
    kind: Literal["points"] = "points"

    def send(self, tracker: Tracker) -> None:
        tracker.log_epochs(self.uid, self.metrics)


@dataclass(frozen=True, kw_only=True)
class FinishTrial:
    """`outcome` has no weights, predictions and `by_epoch` here; they are separate fields."""

    trial: Trial
    state: State
    worker: str
    epochs: tuple[EpochMetrics, ...]
    outcome: Outcome | None
    reason: str
    successor: int | None
    displaced: str
    at: float
    predictions: Base64Bytes = b""
    weights: Base64Bytes = b""
    """Empty if they are not kept."""
    by_epoch: Base64Bytes = b""
    kind: Literal["finish"] = "finish"

    @classmethod
    def from_outcome(
        cls, trial: Trial, state: State, outcome: Outcome | None, keep: bool, **more: Any
    ) -> FinishTrial:
        if not isinstance(outcome, TrialResult):
            return cls(trial=trial, state=state, outcome=outcome, **more)
        return cls(
            trial=trial,
            state=state,
            outcome=replace(outcome, predictions=b"", weights=b"", by_epoch=b""),
            predictions=outcome.predictions,
            weights=outcome.weights if keep else b"",
            by_epoch=outcome.by_epoch,
            **more,
        )

    def send(self, tracker: Tracker) -> None:
        outcome = self.outcome
        if isinstance(outcome, TrialResult):
            outcome = replace(
                outcome,
                predictions=self.predictions,
                weights=self.weights,
                by_epoch=self.by_epoch,
            )
        tracker.finish_trial(
            self.trial,
            self.state,
            worker=self.worker,
            epochs=self.epochs,
            outcome=outcome,
            reason=self.reason,
            successor=self.successor,
            keep=bool(self.weights),
            displaced=self.displaced,
            at=self.at,
        )


@dataclass(frozen=True, kw_only=True)
class LogSelection:
    uid: str
    selection: dict[str, Any]
    kind: Literal["select"] = "select"

    def send(self, tracker: Tracker) -> None:
        tracker.log_selection(self.uid, self.selection)


@dataclass(frozen=True, kw_only=True)
class LogTest:
    uid: str
    reading: TestReading
    champion: bool
    kind: Literal["test"] = "test"

    def send(self, tracker: Tracker) -> None:
        tracker.log_test(self.uid, self.reading, self.champion)


@dataclass(frozen=True, kw_only=True)
class LogReplay:
    run_id: str
    found: str
    metrics: dict[str, float]
    at: float
    kind: Literal["replay"] = "replay"

    def send(self, tracker: Tracker) -> None:
        tracker.log_replay(self.run_id, self.found, self.metrics, at=self.at)


@dataclass(frozen=True, kw_only=True)
class LogFile:
    uid: str
    name: str
    content: Base64Bytes
    kind: Literal["file"] = "file"

    def send(self, tracker: Tracker) -> None:
        tracker.log_file(self.uid, self.name, self.content)


@dataclass(frozen=True, kw_only=True)
class CloseStudy:
    uid: str
    state: State
    reason: str
    note: str
    at: float
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    trial_metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    kind: Literal["close"] = "close"

    def send(self, tracker: Tracker) -> None:
        tracker.close_study(
            self.uid,
            self.state,
            reason=self.reason,
            note=self.note,
            metrics=self.metrics,
            curves=self.curves,
            trial_metrics=self.trial_metrics,
            at=self.at,
        )


Write = (
    OpenStudy
    | StartTrial
    | LogEpochs
    | FinishTrial
    | LogSelection
    | LogTest
    | LogReplay
    | LogFile
    | CloseStudy
)
_ADAPTER: TypeAdapter[Write] = TypeAdapter(
    Annotated[Write, Field(discriminator="kind")], config=ConfigDict(ser_json_inf_nan="constants")
)


def to_json(write: Write) -> bytes:
    """Return a write as one line of JSON."""
    return _ADAPTER.dump_json(write)


def from_json(content: bytes) -> Write:
    """Read a write. Raises ValueError for text that `to_json` did not produce."""
    return _ADAPTER.validate_json(content)


def merge_epochs(writes: Sequence[Write]) -> list[Write]:
    """Merge the epochs of a trial into its first write of epochs.

    The writes of other trials between them do not matter to a store; any other write does.
    """
    merged: list[Write] = []
    index_by_uid: dict[str, int] = {}
    for write in writes:
        if isinstance(write, StartTrial | FinishTrial):
            index_by_uid.pop(write.trial.uid, None)
            merged.append(write)
        elif not isinstance(write, LogEpochs):
            index_by_uid.clear()
            merged.append(write)
        elif write.uid in index_by_uid:
            earlier = merged[index_by_uid[write.uid]]
            assert isinstance(earlier, LogEpochs)
            metrics = (*earlier.metrics, *write.metrics)
            merged[index_by_uid[write.uid]] = replace(earlier, metrics=metrics)
        else:
            index_by_uid[write.uid] = len(merged)
            merged.append(write)
    return merged
