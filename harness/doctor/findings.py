"""What is wrong, and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.tracking.raw_types import Point, Status

DIED = "the driver died"


@dataclass(frozen=True)
class Restore:
    """A run that was deleted and is still there."""

    run_id: str

    def __str__(self) -> str:
        return "restores it"


@dataclass(frozen=True)
class RestoreStudy:
    """An experiment that was deleted and is still there."""

    experiment_id: str

    def __str__(self) -> str:
        return "restores it"


@dataclass(frozen=True)
class Delete:
    """One run too many."""

    run_id: str

    def __str__(self) -> str:
        return f"deletes run {self.run_id}, which MLflow can restore"


@dataclass(frozen=True)
class Remake:
    """A trial without a run."""

    number: int

    def __str__(self) -> str:
        return "makes it again, with what the journal holds of the trial"


@dataclass(frozen=True)
class SetRun:
    """A run that says something else than the journal."""

    run_id: str
    status: Status | None
    tags: Mapping[str, str] = field(default_factory=dict)
    ended: int | None = None
    """Unix time in milliseconds."""

    def __str__(self) -> str:
        return "sets it as the journal has it"


@dataclass(frozen=True)
class AddPoints:
    """Metrics that lack points."""

    run_id: str
    points: tuple[Point, ...]
    source: str = "trial.json"

    def __str__(self) -> str:
        return f"logs them from {self.source}"


@dataclass(frozen=True)
class PointChampion:
    """The alias of the registered model."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"points the alias at version {self.version}"


@dataclass(frozen=True)
class CloseStale:
    """Trials that a dead driver left RUNNING in the journal."""

    def __str__(self) -> str:
        return "closes it as its record says, else as interrupted, to be tried again"


@dataclass(frozen=True)
class Send:
    """Writes in the spool."""

    def __str__(self) -> str:
        return "sends them, as `harness sync` does"


@dataclass(frozen=True)
class MendJournal:
    """A journal whose end was cut off: taking the lock mends it."""

    def __str__(self) -> str:
        return "takes what is cut off away, and keeps it beside"


@dataclass(frozen=True)
class Remove:
    """A file that says what is not so any more."""

    path: Path

    def __str__(self) -> str:
        return "removes it"


Mend = (
    Restore
    | RestoreStudy
    | Delete
    | Remake
    | SetRun
    | AddPoints
    | PointChampion
    | CloseStale
    | Send
    | MendJournal
    | Remove
)


@dataclass(frozen=True)
class Finding:
    """One breach of an invariant."""

    invariant: int
    where: str
    """The trial, run or file."""
    what: str
    mend: Mend | None = None
    """What --repair does about it."""
    remedy: str = ""
    """What a person can do, where --repair can nothing."""

    def __str__(self) -> str:
        done = f"--repair {self.mend}" if self.mend else self.remedy
        return f"{self.where}: {self.what}" + (f"; {done}" if done else "")
