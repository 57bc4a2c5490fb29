"""A violated invariant, and the fix that `--repair` can apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.tracking.raw_types import Point, Status

DIED = "the driver died"


@dataclass(frozen=True)
class RestoreRun:
    """Restore a run that was deleted in MLflow and is still there."""

    run_id: str

    def __str__(self) -> str:
        return "restores it"


@dataclass(frozen=True)
class RestoreStudy:
    """Restore an experiment that was deleted in MLflow and is still there."""

    experiment_id: str

    def __str__(self) -> str:
        return "restores it"


@dataclass(frozen=True)
class DeleteRun:
    """Delete a duplicate run."""

    run_id: str

    def __str__(self) -> str:
        return f"deletes run {self.run_id}, which MLflow can restore"


@dataclass(frozen=True)
class RecreateRun:
    """Create the missing run of a trial from the journal."""

    number: int

    def __str__(self) -> str:
        return "creates it again from the journal"


@dataclass(frozen=True)
class UpdateRun:
    """Set a run's status and tags to what the journal has."""

    run_id: str
    status: Status | None
    tags: Mapping[str, str] = field(default_factory=dict)
    ended: int | None = None
    """Unix time in milliseconds."""
    source: str = "the journal"

    def __str__(self) -> str:
        return f"sets it to {self.source}'s value"


@dataclass(frozen=True)
class AddPoints:
    """Log missing metric points."""

    run_id: str
    points: tuple[Point, ...]
    source: str = "trial.json"

    def __str__(self) -> str:
        return f"logs them from {self.source}"


@dataclass(frozen=True)
class MoveAlias:
    """Point an alias of the registered model at a version."""

    model: str
    version: str
    alias: str = "champion"

    def __str__(self) -> str:
        return f"points the alias at version {self.version}"


@dataclass(frozen=True)
class CloseStaleTrials:
    """Close trials that a dead driver left RUNNING in the journal."""

    def __str__(self) -> str:
        return "closes it as recorded, or else as interrupted, to be retried"


@dataclass(frozen=True)
class SendOutbox:
    """Send the writes that wait in the outbox."""

    def __str__(self) -> str:
        return "sends them, as `harness sync` does"


@dataclass(frozen=True)
class TruncateJournal:
    """Cut a torn last record off the journal; taking the lock does it."""

    def __str__(self) -> str:
        return "cuts the torn record off and keeps it in a file beside"


@dataclass(frozen=True)
class UpdateLocations:
    """Update the paths in the database of a moved folder; opening it for writing does it."""

    def __str__(self) -> str:
        return "updates the paths, as the next command does that opens the record"


@dataclass(frozen=True)
class RemoveFile:
    """Remove a file that a dead driver left behind."""

    path: Path

    def __str__(self) -> str:
        return "removes it"


Fix = (
    RestoreRun
    | RestoreStudy
    | DeleteRun
    | RecreateRun
    | UpdateRun
    | AddPoints
    | MoveAlias
    | CloseStaleTrials
    | SendOutbox
    | TruncateJournal
    | UpdateLocations
    | RemoveFile
)


@dataclass(frozen=True)
class Finding:
    """One violation of an invariant."""

    invariant: int
    location: str
    """The trial, run or file."""
    problem: str
    fix: Fix | None = None
    """What --repair does, if it can repair this."""
    remedy: str = ""
    """What the user can do where --repair cannot help."""

    def __str__(self) -> str:
        done = f"--repair {self.fix}" if self.fix else self.remedy
        return f"{self.location}: {self.problem}" + (f"; {done}" if done else "")


def format_metric(value: float | None) -> str:
    """Format a recorded metric for a message."""
    return "missing" if value is None else f"{value:g}"
