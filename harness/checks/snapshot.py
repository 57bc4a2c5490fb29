"""Everything recorded of one study, read without writing a byte."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.checks.journal_reader import Journal, read_journal
from harness.checks.unsent import count_unsent
from harness.errors import StoreError
from harness.search.storage.journal import JournalFolder
from harness.sweep.check_name import has_copy
from harness.sweep.environment import collect_origin
from harness.system import addresses
from harness.test_set.log import TestSetLog
from harness.tracking.name_holder import NameHolder
from harness.tracking.outbox import SUFFIX, RefusedWrites, read_refused
from harness.tracking.raw_types import DOCUMENT_FILE, READINGS_FILE, RawReader, RawRun, RawStudy
from harness.tracking.test_reading import TestReading
from harness.tracking.trial_document import parse_trial_document
from harness.tracking.types import CONFIRM_INFIX, TEST_SET_FACT
from harness.workspace import Workspace

WORKER = re.compile(rb"multiprocessing\.forkserver.*harness\.executors", re.DOTALL)
"""Matches the command line of our workers and of their fork server."""


@dataclass(frozen=True)
class Snapshot:
    """One study's journal, runs, files and processes at one moment."""

    name: str
    journal: Journal | None
    study: RawStudy | None
    """None where the tracking store does not have the study or was not read."""
    damage: str = ""
    """What is wrong with the local database; empty for a server."""
    holder: NameHolder = field(default_factory=NameHolder)
    """Who holds the study's name in the tracking store."""
    is_from_here: bool = True
    """Whether the study in the store was run in this folder, as far as is on record."""
    is_copied: bool = False
    """Whether the folder of the last driver is another one, and has the study too."""
    misplaced_database: Path | None = None
    """Where an earlier version wrote the local database, whose path has a `?`."""
    moved_from: tuple[Path, ...] = ()
    """Other folders in which the local database has the files of this one."""
    unread_journals: tuple[Path, ...] = ()
    """Journals of the study that earlier versions made for other spellings of the address."""
    unread_reason: str = ""
    """Why the tracking store was not read."""
    leftover_files: Mapping[Path, str] = field(default_factory=dict)
    """Files that a driver removes before it ends, each with a description."""
    outbox: Path | None = None
    """The outbox file, where there is one: a driver that ends normally removes an empty one."""
    unsent: int = 0
    """Writes in the outbox that were not sent."""
    refused: tuple[RefusedWrites, ...] = ()
    """Writes that the store refused, by file."""
    stray_workers: tuple[str, ...] = ()
    """Workers whose driver is dead, as `process PID`."""
    log_folder: Path = Path()
    """The folder of test-set logs, beneath `mlruns`."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether only the store has the study, and another folder recorded it."""
        has_journal = self.journal is not None and self.journal.is_started
        return bool(self.holder.uids) and not has_journal and not self.is_from_here

    @cached_property
    def runs(self) -> dict[int, RawRun]:
        """The run of each trial that has exactly one, by trial number."""
        if self.study is None or self.journal is None:
            return {}
        result = {
            trial.number: self.study.find_runs(self.journal.trial_uid(trial.number))
            for trial in self.journal.trials
        }
        return {number: runs[0] for number, runs in result.items() if len(runs) == 1}

    @cached_property
    def confirmation_runs(self) -> dict[str, list[RawRun]]:
        """The confirmation runs, by uid."""
        result: dict[str, list[RawRun]] = {}
        prefix = (
            f"{self.journal.uid}{CONFIRM_INFIX}"
            if self.journal and self.journal.is_started
            else None
        )
        for run in self.study.runs if self.study and prefix else ():
            if not run.deleted and run.kind == "confirm" and run.uid.startswith(str(prefix)):
                result.setdefault(run.uid, []).append(run)
        return result

    def find_run(self, reading: TestReading) -> RawRun | None:
        """Return the run whose weights were evaluated on the test set."""
        if CONFIRM_INFIX in reading.run:
            runs = self.confirmation_runs.get(reading.run, [])
            return runs[0] if len(runs) == 1 else None
        return self.runs.get(reading.number)

    @cached_property
    def test_set_log(self) -> TestSetLog | None:
        """The log of the study's test set; None for older studies, which do not name it."""
        digest = self.study_run.tags.get(f"harness.{TEST_SET_FACT}") if self.study_run else None
        return TestSetLog.for_test_set(self.log_folder, digest) if digest else None

    @cached_property
    def study_run(self) -> RawRun | None:
        """The study's parent run, if there is exactly one."""
        runs = self.study.find_runs(self.journal.uid) if self.study and self.journal else []
        return runs[0] if len(runs) == 1 else None

    @property
    def is_finished(self) -> bool:
        """Whether the study's run is recorded as complete."""
        return self.study_run is not None and self.study_run.state == "COMPLETE"

    @cached_property
    def documents(self) -> dict[int, dict[str, Any]]:
        """The content of each readable `trial.json`, by trial number."""
        documents = {number: self.read_document(run) for number, run in self.runs.items()}
        return {number: each for number, each in documents.items() if each is not None}

    def read_document(self, run: RawRun) -> dict[str, Any] | None:
        """Return the content of a run's `trial.json`; None where it cannot be read."""
        try:
            content = json.loads(run.file_content(DOCUMENT_FILE) or b"")
            document: dict[str, Any] = content | parse_trial_document(content)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return document

    @cached_property
    def readings(self) -> tuple[TestReading, ...] | None:
        """The recorded readings of the test set; None where their file cannot be read."""
        try:
            content = (self.study_run and self.study_run.file_content(READINGS_FILE)) or b"[]"
            return tuple(TestReading.from_dict(each) for each in json.loads(content))
        except (ValueError, KeyError, TypeError):
            return None


def take_snapshot(
    workspace: Workspace, name: str, uri: str, reader: RawReader | None, damage: str
) -> Snapshot:
    """Read everything recorded of a study.

    `reader` is None where `damage` keeps the store from being read.
    """
    place, folder = workspace.study_storage(uri), workspace.journal_folder(uri)
    unread_journals: list[Path] = []
    if isinstance(place, JournalFolder):
        folder, unread_journals = place.find_folder(name), place.list_unread_journals(name)
    journal = read_journal(place, name)
    outbox = workspace.outbox_folder(uri, f"{name}{SUFFIX}") / f"{name}{SUFFIX}"
    known = Snapshot(
        name,
        journal,
        None,
        damage,
        unread_journals=tuple(unread_journals),
        misplaced_database=_find_misplaced_database(uri) if damage else None,
        moved_from=_find_old_folders(workspace, uri),
        leftover_files=_find_leftovers(folder, name),
        outbox=outbox if outbox.is_file() else None,
        unsent=count_unsent(outbox),
        refused=tuple(read_refused(outbox)),
        stray_workers=_find_stray_workers(workspace),
        log_folder=workspace.test_set_folder,
    )
    if known.unsent:
        return replace(known, unread_reason="some writes are still in the outbox")
    if reader is None:
        return replace(known, unread_reason="the store cannot be read")
    try:
        holder = reader.read_holders().get(name, NameHolder())
        uid = journal.uid if journal and journal.is_started else max(holder.uids, default="")
        local = addresses.parse_sqlite_path(uri) is not None
        known = replace(
            known,
            holder=holder,
            is_copied=uid in holder.uids and has_copy(workspace, name, uid, uri, holder.origin),
            is_from_here=holder.is_from(
                collect_origin(workspace.root), workspace.artifacts if local else None
            ),
        )
        if known.is_elsewhere:
            return known
        model = journal.study_name if journal else name
        return replace(known, study=reader.read_study(name, uid, model))
    except StoreError as error:
        if not damage:
            raise
        return replace(known, unread_reason=str(error))


def check_database(uri: str) -> str:
    """Return what is wrong with a local database; empty for a healthy one or a server."""
    path = addresses.parse_sqlite_path(uri)
    if path is None:
        return ""
    if not path.is_file():
        return "is missing, and the journal is there"
    if Path(f"{path}-journal").exists():
        return ""  # a transaction that a dead driver began: it is rolled back at the next opening
    try:
        database = sqlite3.connect(addresses.format_read_only_uri(path), uri=True)
        try:
            result = [str(row[0]) for row in database.execute("PRAGMA integrity_check(3)")]
        finally:
            database.close()
    except sqlite3.Error as error:
        result = [str(error)]
    problem = "; ".join(result).replace("\n", " ")
    return "" if problem == "ok" else f"fails SQLite's integrity check: {problem}"


def _find_misplaced_database(uri: str) -> Path | None:
    """Return the file that version 0.1.0 wrote for a path with a `?`: it took that for its end."""
    path = addresses.parse_sqlite_path(uri)
    before = Path(str(path).partition("?")[0])
    return before if path is not None and before != path and before.is_file() else None


def _find_old_folders(workspace: Workspace, uri: str) -> tuple[Path, ...]:
    from harness.tracking.mlflow.artifact_locations import find_old_folders

    path = addresses.parse_sqlite_path(uri)
    return tuple(find_old_folders(path, workspace.artifacts)) if path is not None else ()


def _find_leftovers(folder: Path, name: str) -> dict[Path, str]:
    candidates = {
        folder / f"{name}.holder": "a dead driver's",
        folder / f"{name}.journal.lock": "a dead driver's, which stalls the next one's first write",
    }
    return {
        path: problem for path, problem in candidates.items() if path.is_symlink() or path.exists()
    }


def _find_stray_workers(workspace: Workspace) -> tuple[str, ...]:
    """Find workers that were started from this workspace's folder and whose driver is gone.

    Systems without /proc report none.
    """
    processes: dict[int, tuple[int, bytes]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            processes[int(folder.name)] = parent, (folder / "cmdline").read_bytes()
        except (OSError, ValueError):  # it ended meanwhile
            continue
    result = []
    for pid, (parent, command) in processes.items():
        if not WORKER.search(command):
            continue
        while WORKER.search(processes.get(parent, (0, b""))[1]):
            parent = processes[parent][0]
        driver = processes.get(parent, (0, b""))[1]
        try:
            cwd = Path(f"/proc/{pid}/cwd").resolve(strict=True)
        except OSError:
            continue
        # Orphans are adopted by a process that is not Python; a live driver is Python.
        if cwd == workspace.root.resolve().parent and (parent <= 1 or b"python" not in driver):
            result.append(f"process {pid}")
    return tuple(result)
