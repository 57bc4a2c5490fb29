"""The result of `harness doctor` for each study, as text and as JSON."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.confirmation import describe_no_champion
from harness.analysis.formatting import format_count
from harness.checks.check_best_trial import get_study_command
from harness.checks.check_files import count_files_without_digest
from harness.checks.check_trial_counts import count_final_states
from harness.checks.findings import Finding
from harness.checks.registry import CHECKS, STORE_CHECKS, run_checks
from harness.checks.repair import repair_study as fix
from harness.checks.snapshot import Snapshot, check_database, take_snapshot
from harness.checks.unsent import has_sent_nothing
from harness.errors import LIST_STUDIES, HarnessError, StoreError, StudyError, did_you_mean
from harness.system.addresses import parse_sqlite_path
from harness.system.terminal import align_labels
from harness.tracking.name_holder import NameHolder
from harness.workspace import Workspace

if TYPE_CHECKING:
    from harness.tracking.raw_types import RawReader


SHOWN_PLACES = 3
"""How many locations of one problem are named."""


@dataclass(frozen=True)
class StudyReport:
    """The findings of one study."""

    name: str
    driven: bool = False
    """Whether a driver is running the study, so that nothing was checked."""
    elsewhere: str = ""
    """Where the study was recorded, if that is another folder; nothing was checked then."""
    summary: str = ""
    """Counts of its trials by final state."""
    findings: tuple[Finding, ...] = ()
    unchecked: str = ""
    """Why its tracking store was not read."""
    notes: tuple[str, ...] = ()
    mended: tuple[Finding, ...] = ()
    failed: tuple[str, ...] = ()
    """What --repair could not repair, and why."""

    @property
    def healthy(self) -> bool:
        return not self.findings and not self.unchecked

    @property
    def lines(self) -> list[tuple[str, str]]:
        if self.driven:
            return [(self.name, "is running now, so nothing was checked")]
        if self.elsewhere:
            return [(self.name, self.elsewhere)]
        done = [
            ("repaired", each) for each in _group_by_problem(self.mended, lambda each: each.problem)
        ]
        done += [("not repaired", each) for each in self.failed]
        notes = [("", note) for note in self.notes]
        if self.healthy:
            return [(self.name, f"healthy: {self.summary}"), *done, *notes]
        count = len(self.findings)
        problems = f"{count} problem{'s' * (count != 1)}" if count else "not everything was checked"
        lines = [(self.name, f"{problems}: {self.summary}"), *done]
        for number, (name, _) in CHECKS.items():
            mine = [each for each in self.findings if each.invariant == number]
            texts = _group_by_problem(
                mine, lambda each: str(each).removeprefix(f"{each.location}: ")
            )
            unchecked = self.unchecked if number in STORE_CHECKS else ""
            texts = texts or [f"not checked: {unchecked}" if unchecked else "ok"]
            lines += [
                (f"{number} {name}" if not place else "", text) for place, text in enumerate(texts)
            ]
        return lines + notes

    def to_dict(self) -> dict[str, Any]:
        return {
            "study": self.name,
            "healthy": self.healthy,
            "driven": self.driven,
            "elsewhere": self.elsewhere,
            "trials": self.summary,
            "findings": [_to_dict(each) for each in self.findings],
            "mended": [_to_dict(each) for each in self.mended],
            "not_mended": list(self.failed),
            "unchecked": self.unchecked,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, repr=False)
class DoctorReport:
    """The findings of all checked studies."""

    studies: tuple[StudyReport, ...] = field(default_factory=tuple)

    @property
    def healthy(self) -> bool:
        """Whether no checked invariant is violated."""
        return all(study.healthy for study in self.studies)

    def text(self) -> str:
        if not self.studies:
            return "no studies yet; start one with: harness run-study quickstart"
        return "\n".join(align_labels(study.lines) for study in self.studies)

    def __repr__(self) -> str:
        return self.text()

    def to_dict(self) -> dict[str, Any]:
        return {"healthy": self.healthy, "studies": [each.to_dict() for each in self.studies]}


def check_studies(
    workspace: Workspace, name: str | None, tracking_uri: str | None = None, repair: bool = False
) -> DoctorReport:
    """Check every invariant of a study, or of all recorded studies.

    Writes nothing unless `repair` is set. Raises StudyError for an unknown study, StoreError where
    the store does not answer.
    """
    uri = workspace.resolve_tracking_uri(tracking_uri)
    damage = _check_reachable(workspace, uri)
    reader = _open_reader(workspace, uri, False, damage)
    known = set(workspace.study_storage(uri).list_studies())
    if reader is not None and (name is not None or parse_sqlite_path(uri) is not None):
        # A server may also hold studies of others, whose journals are elsewhere.
        known |= reader.read_holders().keys()
    if name is not None and name not in known:
        raise StudyError(f"no study '{name}' on record{did_you_mean(name, known, LIST_STUDIES)}")
    studies = []
    for each in sorted(known) if name is None else [name]:
        report, snapshot = _check_study(workspace, each, uri, reader, damage)
        todo = [finding for finding in report.findings if finding.fix]
        if repair and todo and not damage and snapshot is not None:
            report = _repair_study(workspace, each, uri, todo)
        studies.append(report)
    return DoctorReport(tuple(studies))


def _check_reachable(workspace: Workspace, uri: str) -> str:
    """Return what is wrong with a local database.

    Raises StudyError where nothing was recorded, StoreError where a server does not answer.
    """
    path = parse_sqlite_path(uri)
    studies = workspace.study_storage(uri).list_studies()
    if path is not None and not path.is_file() and studies:
        if all(has_sent_nothing(workspace, name, uri) for name in studies):
            return ""  # nothing is lost: the first outbox that is sent creates it
        return check_database(uri)
    connect = workspace.tracker_factory(uri, reading=True)
    if parse_sqlite_path(uri) is None:
        connect()
    return check_database(uri)


def _open_reader(workspace: Workspace, uri: str, writing: bool, damage: str) -> RawReader | None:
    from harness.tracking.mlflow.raw_reader import MlflowRawReader

    path = parse_sqlite_path(uri)
    if path is not None and not path.is_file():
        return None  # SQLAlchemy would try to open it for minutes
    try:
        reader = MlflowRawReader(uri, workspace.artifacts, writing)
        reader.read_holders()
        return reader
    except StoreError:
        if not damage:
            raise
        return None


def _check_study(
    workspace: Workspace, name: str, uri: str, reader: RawReader | None, damage: str
) -> tuple[StudyReport, Snapshot | None]:
    place = workspace.study_storage(uri)
    if place.is_locked(name):
        return StudyReport(name, driven=True), None
    snapshot = take_snapshot(workspace, name, uri, reader, damage)
    journal = snapshot.journal
    if place.is_locked(name) or (journal and journal.version != place.get_version(name)):
        return StudyReport(name, driven=True), None  # the journal changed while it was read
    if snapshot.is_elsewhere:
        return StudyReport(name, elsewhere=_describe_origin(snapshot.holder)), None
    report = StudyReport(
        name,
        summary=_summarize(snapshot),
        findings=tuple(run_checks(snapshot)),
        unchecked=snapshot.unread_reason,
        notes=tuple(_list_notes(snapshot)),
    )
    return report, snapshot


def _describe_origin(holder: NameHolder) -> str:
    """`is recorded by ann on host lab from /home/ann/mlruns; check it there`."""
    origin = holder.origin
    if not origin:
        return "is recorded from another folder; check it there"
    host, folder = origin.get("host"), origin.get("folder", "")
    is_lost = host == socket.gethostname() and not Path(folder).exists()
    advice = "which does not exist now; restore it from a backup" if is_lost else "check it there"
    sign = "," if is_lost else ";"
    return f"is recorded by {origin.get('user')} on host {host} from {folder}{sign} {advice}"


def _repair_study(workspace: Workspace, name: str, uri: str, todo: list[Finding]) -> StudyReport:
    """Apply fixes, then check again."""
    path = parse_sqlite_path(uri)
    if path is not None and not path.is_file():
        workspace.tracker_factory(uri)()  # creates it, for a study that has sent nothing
    writer = _open_reader(workspace, uri, True, "")
    assert writer is not None
    try:
        done = fix(workspace, name, uri, writer, todo)
        mended, failed = tuple(done.mended), tuple(done.failed)
    except HarnessError as error:
        mended, failed = (), (str(error),)
    report, _ = _check_study(workspace, name, uri, _open_reader(workspace, uri, False, ""), "")
    return replace(report, mended=mended, failed=failed)


def _summarize(snapshot: Snapshot) -> str:
    journal = snapshot.journal
    if journal is None or not journal.is_started:
        return "no trials in the journal"
    counts = count_final_states(journal)
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    states = [journal.get_state(trial) for trial in journal.trials]
    again = states.count("INTERRUPTED")
    lines = format_count(sum(counts.values()), "trial") + (f", {', '.join(parts)}" if parts else "")
    return lines + (f"; {again} interrupted and retried" if again else "")


def _list_notes(snapshot: Snapshot) -> list[str]:
    """List what the user should know that violates no invariant."""
    notes, journal = [str(each) for each in snapshot.refused], snapshot.journal
    if journal is None or not journal.is_started:
        return notes
    if snapshot.is_copied:
        folder = snapshot.holder.origin.get("folder")
        advice = "continue it there, or remove that folder"
        notes.append(f"a copy: {folder} ran it last and still has it; {advice}")
    done, requested = sum(count_final_states(journal).values()), journal.requested_trials
    waiting = sum(journal.get_state(trial) is None for trial in journal.trials)
    unfinished = ""
    if requested is not None and done < requested:
        unfinished = f"unfinished, {done} of {format_count(requested, 'trial')}"
    elif waiting:
        verb = "is" if waiting == 1 else "are"
        unfinished = f"unfinished, {format_count(waiting, 'trial')} {verb} waiting"
    elif not any(journal.get_state(trial) == "COMPLETE" for trial in journal.trials):
        failed = [trial for trial in journal.trials if journal.get_state(trial) == "FAILED"]
        reason = failed[-1].user_attrs.get("reason", "") if failed else ""
        notes.append(describe_no_champion(reason))
    elif snapshot.study_run is not None and not snapshot.is_finished:
        unfinished = f"not finished, its run is {snapshot.study_run.state.lower()}"
    if unfinished:
        notes.append(f"{unfinished}; continue with: {get_study_command(snapshot)}")
    if count := count_files_without_digest(snapshot):
        files = f"{format_count(count, 'file')} {'was' if count == 1 else 'were'}"
        notes.append(f"{files} recorded by a version that kept no SHA-256")
    return notes


def _group_by_problem(findings: Sequence[Finding], problem: Callable[[Finding], str]) -> list[str]:
    """Format one line for each problem, with all its locations."""
    places: dict[str, list[str]] = {}
    for each in findings:
        places.setdefault(problem(each), []).append(each.location)
    return [
        ", ".join(location[:SHOWN_PLACES])
        + (f" and {len(location) - SHOWN_PLACES} more" if len(location) > SHOWN_PLACES else "")
        + f": {text}"
        for text, location in places.items()
    ]


def _to_dict(finding: Finding) -> dict[str, Any]:
    return {
        "invariant": finding.invariant,
        "where": finding.location,
        "what": finding.problem,
        "repair": str(finding.fix) if finding.fix else None,
        "remedy": finding.remedy or None,
    }
