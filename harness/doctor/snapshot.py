"""Everything that is on record of one study, gathered without a byte written."""

from __future__ import annotations

import json
import re
import sqlite3
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.doctor.journal_reader import Journal, read
from harness.errors import StoreError
from harness.test_set.log import TestSetLog
from harness.tracking.outbox import SUFFIX
from harness.tracking.raw_types import DOCUMENT, READINGS, RawReader, RawRun, RawStudy
from harness.tracking.types import CONFIRMING, TEST_SET, TestReading, read_document
from harness.workspace import Workspace

WORKER = re.compile(rb"multiprocessing\.forkserver.*harness\.executors", re.DOTALL)
"""The command line of our workers and of their fork server."""


@dataclass(frozen=True)
class Snapshot:
    name: str
    journal: Journal | None
    study: RawStudy | None
    """None where the store has nothing of the study, or was not asked."""
    damage: str = ""
    """What SQLite's own check says of the local database; nothing of a server's."""
    unread: str = ""
    """Why the store was not asked."""
    left: Mapping[Path, str] = field(default_factory=dict)
    """Files that a driver removes before it ends, with what each of them is."""
    spool: Path | None = None
    """The file of writes for the store, where there is one: a driver that ends in order leaves none
    that is sent."""
    waiting: int = 0
    """Writes in it that were not sent."""
    strays: tuple[str, ...] = ()
    """Workers whose driver is dead."""
    folder: Path = Path()
    """Where the ledgers of test sets lie, beneath `mlruns`."""

    @cached_property
    def runs(self) -> dict[int, RawRun]:
        """By number: the one run of each trial that has exactly one."""
        if self.study is None or self.journal is None:
            return {}
        found = {
            trial.number: self.study.of(self.journal.trial_uid(trial.number))
            for trial in self.journal.trials
        }
        return {number: runs[0] for number, runs in found.items() if len(runs) == 1}

    @cached_property
    def confirming(self) -> dict[str, list[RawRun]]:
        """The runs of each uid that train the best trials' settings again."""
        found: dict[str, list[RawRun]] = {}
        prefix = f"{self.journal.uid}{CONFIRMING}" if self.journal and self.journal.begun else None
        for run in self.study.runs if self.study and prefix else ():
            if not run.deleted and run.kind == "confirm" and run.uid.startswith(str(prefix)):
                found.setdefault(run.uid, []).append(run)
        return found

    def run_of(self, reading: TestReading) -> RawRun | None:
        """The run whose weights were read."""
        if CONFIRMING in reading.run:
            runs = self.confirming.get(reading.run, [])
            return runs[0] if len(runs) == 1 else None
        return self.runs.get(reading.number)

    @cached_property
    def ledger(self) -> TestSetLog | None:
        """Of its test set; None of older studies, which do not tell that."""
        digest = self.parent.tags.get(f"harness.{TEST_SET}") if self.parent else None
        return TestSetLog.of(self.folder, digest) if digest else None

    @cached_property
    def parent(self) -> RawRun | None:
        """The study's own run, if it is the only one."""
        runs = self.study.of(self.journal.uid) if self.study and self.journal else []
        return runs[0] if len(runs) == 1 else None

    @property
    def concluded(self) -> bool:
        """Whether the study's run says that it went to its end."""
        return self.parent is not None and self.parent.state == "COMPLETE"

    @cached_property
    def documents(self) -> dict[int, dict[str, Any]]:
        """What `trial.json` says, by number; without those that cannot be read."""
        found = {number: self.document(run) for number, run in self.runs.items()}
        return {number: told for number, told in found.items() if told is not None}

    def document(self, run: RawRun) -> dict[str, Any] | None:
        """What `trial.json` of a run says; None where it cannot be read."""
        try:
            document = json.loads(run.content(DOCUMENT) or b"")
            told: dict[str, Any] = document | read_document(document)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return told

    @cached_property
    def readings(self) -> tuple[TestReading, ...] | None:
        """Openings of the test set on record; None where their file cannot be read."""
        try:
            content = (self.parent and self.parent.content(READINGS)) or b"[]"
            return tuple(TestReading.from_dict(each) for each in json.loads(content))
        except (ValueError, KeyError, TypeError):
            return None


def gather(
    home: Workspace, name: str, uri: str, auditor: RawReader | None, damage: str
) -> Snapshot:
    """`auditor` is None where the store cannot be read, for the reason that `damage` gives."""
    place, folder = home.place(uri), home.journals(uri)
    journal = read(place, name)
    spool = home.spools(uri) / f"{name}{SUFFIX}"
    known = Snapshot(
        name,
        journal,
        None,
        damage,
        left=_left(folder, name),
        spool=spool if spool.is_file() else None,
        waiting=_unsent(spool),
        strays=_strays(home),
        folder=home.ledgers,
    )
    if known.waiting:
        return replace(known, unread="what is not sent yet would be missed")
    if auditor is None:
        return replace(known, unread="the store cannot be read")
    try:
        uid = journal.uid if journal and journal.begun else auditor.studies().get(name, "")
        model = journal.study if journal else name
        return replace(known, study=auditor.audit(name, uid, model))
    except StoreError as error:
        if not damage:
            raise
        return replace(known, unread=str(error))


def _unsent(path: Path) -> int:
    """How many writes wait in a spool; one that is damaged counts as waiting."""
    if not path.is_file():
        return 0
    content = path.read_bytes()
    sent = re.match(rb"harness-spool \d+ \w+ +(\d+)\n", content)
    return content[int(sent[1]) :].count(b"\n") if sent else len(content) > 0


def database_damage(uri: str) -> str:
    """What SQLite finds wrong with a local database; empty where it is whole, or is none."""
    if not uri.startswith("sqlite:///"):
        return ""
    path = uri.removeprefix("sqlite:///")
    if Path(f"{path}-journal").exists():
        return ""  # a transaction that a dead driver began: it is rolled back at the next opening
    address = f"file:{urllib.parse.quote(path)}?mode=ro"
    try:
        database = sqlite3.connect(address, uri=True)
        try:
            found = [str(row[0]) for row in database.execute("PRAGMA integrity_check(3)")]
        finally:
            database.close()
    except sqlite3.Error as error:
        return str(error)
    return "" if found == ["ok"] else "; ".join(found).replace("\n", " ")


def _left(folder: Path, name: str) -> dict[Path, str]:
    named = {
        folder / f"{name}.holder": "a dead driver's",
        folder / f"{name}.journal.lock": "a dead driver's, which stalls the next one's first write",
    }
    return {path: what for path, what in named.items() if path.is_symlink() or path.exists()}


def _strays(home: Workspace) -> tuple[str, ...]:
    """Workers that were started from the folder of this home and whose driver is gone.

    Where there is no /proc, none are found.
    """
    processes: dict[int, tuple[int, bytes]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            processes[int(folder.name)] = parent, (folder / "cmdline").read_bytes()
        except (OSError, ValueError):  # it ended meanwhile
            continue
    found = []
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
        # Whoever adopts orphans is no Python, and the drivers that harness knows of are.
        if cwd == home.root.resolve().parent and (parent <= 1 or b"python" not in driver):
            found.append(f"process {pid}")
    return tuple(found)
