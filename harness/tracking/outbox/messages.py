"""What is written to a tracker, as values: they go to a file as JSON and are sent from there.

One class for each writing method of harness.tracking.base.Tracker; `send` calls it. Sending one
twice changes nothing, for each carries the time at which it happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Base64Bytes, ConfigDict, Field, TypeAdapter

from harness.results import EpochMetrics, Outcome, TrialResult
from harness.tracking.base import Tracker
from harness.tracking.types import Curve, State, StudyRecord, TestReading
from harness.trial import Trial


@dataclass(frozen=True, kw_only=True)
class Open:
    record: StudyRecord
    at: float
    labels: Base64Bytes = b""
    """The record's validation labels, which are left out of it."""
    kind: Literal["open"] = "open"

    @classmethod
    def of(cls, record: StudyRecord, at: float) -> Open:
        bare = replace(record, validation_labels=b"")
        return cls(record=bare, at=at, labels=record.validation_labels)

    def send(self, tracker: Tracker) -> None:
        tracker.open(replace(self.record, validation_labels=self.labels), at=self.at)


@dataclass(frozen=True, kw_only=True)
class Start:
    trial: Trial
    at: float
    kind: Literal["start"] = "start"

    def send(self, tracker: Tracker) -> None:
        tracker.start(self.trial, at=self.at)


@dataclass(frozen=True, kw_only=True)
class Points:
    uid: str
    metrics: tuple[EpochMetrics, ...]
    kind: Literal["points"] = "points"

    def send(self, tracker: Tracker) -> None:
        tracker.log_epochs(self.uid, self.metrics)


@dataclass(frozen=True, kw_only=True)
class Finish:
    """`outcome` without its weights and predictions, which stand beside it."""

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
    """Empty where they are not to be kept."""
    kind: Literal["finish"] = "finish"

    @classmethod
    def of(
        cls, trial: Trial, state: State, outcome: Outcome | None, keep: bool, **more: Any
    ) -> Finish:
        if not isinstance(outcome, TrialResult):
            return cls(trial=trial, state=state, outcome=outcome, **more)
        return cls(
            trial=trial,
            state=state,
            outcome=replace(outcome, predictions=b"", weights=b""),
            predictions=outcome.predictions,
            weights=outcome.weights if keep else b"",
            **more,
        )

    def send(self, tracker: Tracker) -> None:
        outcome = self.outcome
        if isinstance(outcome, TrialResult):
            outcome = replace(outcome, predictions=self.predictions, weights=self.weights)
        tracker.finish(
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
class Select:
    uid: str
    selection: dict[str, Any]
    kind: Literal["select"] = "select"

    def send(self, tracker: Tracker) -> None:
        tracker.log_selection(self.uid, self.selection)


@dataclass(frozen=True, kw_only=True)
class Test:
    __test__ = False  # no test class, whatever pytest thinks of its name

    uid: str
    reading: TestReading
    champion: bool
    kind: Literal["test"] = "test"

    def send(self, tracker: Tracker) -> None:
        tracker.log_test(self.uid, self.reading, self.champion)


@dataclass(frozen=True, kw_only=True)
class Replay:
    run_id: str
    found: str
    metrics: dict[str, float]
    at: float
    kind: Literal["replay"] = "replay"

    def send(self, tracker: Tracker) -> None:
        tracker.log_replay(self.run_id, self.found, self.metrics, at=self.at)


@dataclass(frozen=True, kw_only=True)
class File:
    uid: str
    name: str
    content: Base64Bytes
    kind: Literal["file"] = "file"

    def send(self, tracker: Tracker) -> None:
        tracker.log_file(self.uid, self.name, self.content)


@dataclass(frozen=True, kw_only=True)
class Close:
    uid: str
    state: State
    reason: str
    note: str
    at: float
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    kind: Literal["close"] = "close"

    def send(self, tracker: Tracker) -> None:
        tracker.close(
            self.uid,
            self.state,
            reason=self.reason,
            note=self.note,
            metrics=self.metrics,
            curves=self.curves,
            at=self.at,
        )


Write = Open | Start | Points | Finish | Select | Test | Replay | File | Close
_ADAPTER: TypeAdapter[Write] = TypeAdapter(
    Annotated[Write, Field(discriminator="kind")], config=ConfigDict(ser_json_inf_nan="constants")
)


def to_json(write: Write) -> bytes:
    return _ADAPTER.dump_json(write)


def from_json(content: bytes) -> Write:
    """Raises ValueError for what `to_json` did not write."""
    return _ADAPTER.validate_json(content)


def merged(writes: Sequence[Write]) -> list[Write]:
    """The same with fewer calls: points of a trial that no other write of that trial divides."""
    found: list[Write] = []
    places: dict[str, int] = {}
    for write in writes:
        if not isinstance(write, Points):
            places.clear()
            found.append(write)
        elif write.uid in places:
            before = found[places[write.uid]]
            assert isinstance(before, Points)
            found[places[write.uid]] = replace(before, metrics=(*before.metrics, *write.metrics))
        else:
            places[write.uid] = len(found)
            found.append(write)
    return found
