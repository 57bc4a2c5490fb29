"""What `harness doctor` found, study by study, for people and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.analysis.formatting import aligned
from harness.doctor.check_best_trial import again
from harness.doctor.check_files import undigested
from harness.doctor.check_trial_counts import ended
from harness.doctor.findings import Finding
from harness.doctor.registry import CHECKS, OF_THE_STORE, check
from harness.doctor.repair import repair as mend
from harness.doctor.snapshot import Snapshot, database_damage, gather
from harness.errors import HarnessError, StoreError, StudyError, did_you_mean
from harness.workspace import Workspace

if TYPE_CHECKING:
    from harness.tracking.raw_types import RawReader


PLACES = 3
"""So many are named where the same is wrong in several."""


@dataclass(frozen=True)
class Examined:
    """One study."""

    name: str
    driven: bool = False
    """A driver is at work, so that nothing was looked at."""
    summary: str = ""
    """Its trials, by how they ended."""
    findings: tuple[Finding, ...] = ()
    unchecked: str = ""
    """Why its store was not looked at."""
    notes: tuple[str, ...] = ()
    mended: tuple[Finding, ...] = ()
    failed: tuple[str, ...] = ()
    """What --repair tried in vain."""

    @property
    def healthy(self) -> bool:
        return not self.findings and not self.unchecked

    @property
    def lines(self) -> list[tuple[str, str]]:
        if self.driven:
            return [(self.name, "is being driven at this moment, so nothing was checked")]
        done = [("mended", each) for each in _told(self.mended, lambda each: each.what)]
        done += [("not mended", each) for each in self.failed]
        notes = [("", note) for note in self.notes]
        if self.healthy:
            return [(self.name, f"healthy: {self.summary}"), *done, *notes]
        count = len(self.findings)
        breaches = f"{count} breach{'es' * (count != 1)}" if count else "not all was checked"
        lines = [(self.name, f"{breaches}: {self.summary}"), *done]
        for number, (name, _) in CHECKS.items():
            mine = [each for each in self.findings if each.invariant == number]
            found = _told(mine, lambda each: str(each).removeprefix(f"{each.where}: "))
            unchecked = self.unchecked if number in OF_THE_STORE else ""
            told = found or [f"not checked: {unchecked}" if unchecked else "ok"]
            lines += [
                (f"{number} {name}" if not place else "", each) for place, each in enumerate(told)
            ]
        return lines + notes

    def to_dict(self) -> dict[str, Any]:
        return {
            "study": self.name,
            "healthy": self.healthy,
            "driven": self.driven,
            "trials": self.summary,
            "findings": [_as_dict(each) for each in self.findings],
            "mended": [_as_dict(each) for each in self.mended],
            "not_mended": list(self.failed),
            "unchecked": self.unchecked,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Examination:
    """All studies that were looked at."""

    studies: tuple[Examined, ...] = field(default_factory=tuple)

    @property
    def healthy(self) -> bool:
        """Whether no invariant is broken, as far as was looked."""
        return all(study.healthy for study in self.studies)

    def text(self) -> str:
        if not self.studies:
            return "no studies yet; start one with: harness run-study quickstart"
        return "\n".join(aligned(study.lines) for study in self.studies)

    def to_dict(self) -> dict[str, Any]:
        return {"healthy": self.healthy, "studies": [each.to_dict() for each in self.studies]}


def examine(
    home: Workspace, name: str | None, tracking_uri: str | None = None, repair: bool = False
) -> Examination:
    """Hold every invariant against a study, or all on record. Writes nothing without `repair`.

    Raises StudyError for an unknown study, StoreError where the store does not answer.
    """
    uri = home.tracking_uri(tracking_uri)
    damage = _reachable(home, uri)
    auditor = _auditor(uri, False, damage)
    known = set(home.place(uri).names())
    if auditor is not None and (name is not None or uri.startswith("sqlite:///")):
        # On a server there are others' studies too, whose journals lie elsewhere.
        known |= auditor.studies().keys()
    if name is not None and name not in known:
        raise StudyError(f"no study '{name}' on record{did_you_mean(name, known)}")
    studies = []
    for each in sorted(known) if name is None else [name]:
        found, evidence = _examined(home, each, uri, auditor, damage)
        todo = [finding for finding in found.findings if finding.mend]
        if repair and todo and not damage and evidence is not None:
            found = _repaired(home, each, uri, todo)
        studies.append(found)
    return Examination(tuple(studies))


def _reachable(home: Workspace, uri: str) -> str:
    """What is wrong with a local database; raises where there is none, or no server answers."""
    connect = home.connection(uri, reading=True)
    if not uri.startswith("sqlite:///"):
        connect()
    return database_damage(uri)


def _auditor(uri: str, writing: bool, damage: str) -> RawReader | None:
    from harness.tracking.mlflow.raw_reader import MlflowRawReader

    try:
        auditor = MlflowRawReader(uri, writing)
        auditor.studies()
        return auditor
    except StoreError:
        if not damage:
            raise
        return None


def _examined(
    home: Workspace, name: str, uri: str, auditor: RawReader | None, damage: str
) -> tuple[Examined, Snapshot | None]:
    place = home.place(uri)
    if place.held(name):
        return Examined(name, driven=True), None
    evidence = gather(home, name, uri, auditor, damage)
    journal = evidence.journal
    if place.held(name) or (journal and journal.mark != place.mark(name)):
        return Examined(name, driven=True), None  # what was read is of no one moment
    found = Examined(
        name,
        summary=_summary(evidence),
        findings=tuple(check(evidence)),
        unchecked=evidence.unread,
        notes=tuple(_notes(evidence)),
    )
    return found, evidence


def _repaired(home: Workspace, name: str, uri: str, todo: list[Finding]) -> Examined:
    """Mend, and look again."""
    writer = _auditor(uri, True, "")
    assert writer is not None
    try:
        done = mend(home, name, uri, writer, todo)
        mended, failed = tuple(done.mended), tuple(done.failed)
    except HarnessError as error:
        mended, failed = (), (str(error),)
    found, _ = _examined(home, name, uri, _auditor(uri, False, ""), "")
    return replace(found, mended=mended, failed=failed)


def _summary(evidence: Snapshot) -> str:
    journal = evidence.journal
    if journal is None or not journal.begun:
        return "no trials in the journal"
    counts = ended(journal)
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    states = [journal.state(trial) for trial in journal.trials]
    again = states.count("INTERRUPTED")
    told = f"{sum(counts.values())} trials" + (f", {', '.join(parts)}" if parts else "")
    return told + (f"; {again} interrupted and tried again" if again else "")


def _notes(evidence: Snapshot) -> list[str]:
    """What is told and breaks nothing."""
    notes, journal = list[str](), evidence.journal
    if journal is None or not journal.begun:
        return notes
    done, requested = sum(ended(journal).values()), journal.requested
    waiting = sum(journal.state(trial) is None for trial in journal.trials)
    if requested is not None and done < requested:
        notes.append(f"unfinished, {done} of {requested} trials; go on: {again(evidence)}")
    elif waiting:
        notes.append(f"unfinished, {waiting} trials wait; go on: {again(evidence)}")
    elif evidence.parent is not None and not evidence.concluded:
        state = evidence.parent.state.lower()
        notes.append(f"not concluded, its run is {state}; go on: {again(evidence)}")
    if count := undigested(evidence):
        notes.append(f"{count} files were recorded without their SHA-256, before it was kept")
    return notes


def _told(findings: Sequence[Finding], what: Callable[[Finding], str]) -> list[str]:
    """One line for what is the same in several places."""
    places: dict[str, list[str]] = {}
    for each in findings:
        places.setdefault(what(each), []).append(each.where)
    return [
        ", ".join(where[:PLACES])
        + (f" and {len(where) - PLACES} more" if len(where) > PLACES else "")
        + f": {text}"
        for text, where in places.items()
    ]


def _as_dict(finding: Finding) -> dict[str, Any]:
    return {
        "invariant": finding.invariant,
        "where": finding.where,
        "what": finding.what,
        "repair": str(finding.mend) if finding.mend else None,
        "remedy": finding.remedy or None,
    }
