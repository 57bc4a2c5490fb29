"""What a store holds of one study, raw: for `harness doctor`, which trusts nothing.

The tracker's reader takes what it needs and looks the rest up; here is everything there is, doubles
and deleted runs too, as it lies there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

Status = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
"""The store's own state of a run."""

DIGEST = "harness.sha256."
"""A tag of this prefix and a file's name holds its SHA-256 in hex, as it was written."""
REMADE = "harness.remade"
"""A tag of runs that a repair made again, from what the journal holds of the trial."""
READINGS = "test_readings.json"
DOCUMENT = "trial.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, order=True)
class Point:
    """One point of a metric."""

    key: str
    step: int
    value: float
    time: int
    """Unix time in milliseconds."""


@dataclass(frozen=True)
class StoredFile:
    """A file of a run, read to its end."""

    sha256: str
    """In hex; empty where it could not be read."""
    error: str = ""
    """Why it could not be read."""
    content: bytes | None = None
    """Of the small ones that say something: JSON and the predictions on the test set."""
    shapes: Mapping[str, tuple[int, ...]] | None = None
    """The tensors of a safetensors file by name; None for other files, and where it is none."""


@dataclass(frozen=True, kw_only=True)
class RawRun:
    run_id: str
    name: str
    status: Status
    deleted: bool
    started: int
    """Unix time in milliseconds."""
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    """The last value of each, as the store shows it."""
    points: tuple[Point, ...] = ()
    """Every one of its curves; of other metrics the last one."""
    files: Mapping[str, StoredFile] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        return self.tags.get("harness.uid", "")

    @property
    def kind(self) -> str:
        return self.tags.get("harness.kind", "")

    @property
    def state(self) -> str:
        return self.tags.get("harness.state", "")

    def content(self, name: str) -> bytes | None:
        return self.files[name].content if name in self.files else None


@dataclass(frozen=True)
class RawVersion:
    """A version of the registered model that goes by the study's name."""

    version: str
    run_id: str
    """Of the study's run that it was registered from."""
    champion: bool
    """Whether the alias `champion` points here."""
    tags: Mapping[str, str]
    problem: str = ""
    """What is wrong with the model's own files, if anything is."""


@dataclass(frozen=True)
class RawStudy:
    """One experiment with all its runs."""

    name: str
    experiment_id: str
    deleted: bool
    runs: tuple[RawRun, ...]
    versions: tuple[RawVersion, ...]

    def of(self, uid: str, deleted: bool = False) -> list[RawRun]:
        """The runs that carry a uid, the oldest first."""
        return [run for run in self._by_uid.get(uid, ()) if run.deleted == deleted]

    @cached_property
    def _by_uid(self) -> dict[str, list[RawRun]]:
        found: dict[str, list[RawRun]] = {}
        for run in self.runs:
            found.setdefault(run.uid, []).append(run)
        return found


class RawReader(Protocol):
    """Reads everything; the mending actions need one that was opened for writing.

    Every method raises StoreError where the store cannot be read or written.
    """

    def audit(self, name: str, uid: str, model: str) -> RawStudy | None:
        """What is held of the study `uid`, looked for under `name` first, and of `model`, the
        registered one."""

    def studies(self) -> dict[str, str]:
        """The uids of all studies on record, by name."""

    def restore_study(self, experiment_id: str) -> None:
        """Undo the deletion of an experiment."""

    def restore(self, run_id: str) -> None:
        """Undo the deletion of a run."""

    def delete(self, run_id: str) -> None:
        """So that it can be restored."""

    def create(
        self,
        experiment_id: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        started: int,
    ) -> str:
        """Make a run that is still RUNNING; returns its id."""

    def end(
        self, run_id: str, status: Status | None, tags: Mapping[str, str], ended: int | None = None
    ) -> None:
        """Give a run its tags and, unless None, its state; `ended` in milliseconds."""

    def add_points(self, run_id: str, points: Sequence[Point]) -> None: ...

    def put_file(self, run_id: str, name: str, content: bytes) -> None:
        """Keep a file on a run, with its digest."""

    def set_champion(self, name: str, version: str) -> None:
        """Point the alias `champion` of the registered model at a version."""
