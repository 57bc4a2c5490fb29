"""One small study with a trial of every ending, driven once and copied for each test."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from harness.doctor.journal_reader import Journal, read
from harness.doctor.report import Examined, examine
from harness.errors import Interruption
from harness.results import Outcome
from harness.search.storage.journal import JournalFolder
from harness.sweep.driver import Progress
from harness.sweep.run import run_study
from harness.tracking.types import State
from harness.trial import Trial
from harness.workspace import Workspace

STUDY = """
[study]
trials = 6
seed = 13
sampler = "random"
pruner = "successive-halving"
[confirm]
seeds = 0
[data]
name = "digits"
validation = 0.2
[train]
epochs = 3
optimizer = "sgd"
[space]
depth = [1]
width = [8, 16]
learning_rate = [0.3, 0.1, 1e-6, 1e30]
batch_norm = ["none", "before"]
"""
COMPLETE, INTERRUPTED, CHAMPION, PRUNED, FAILED = 0, 1, 6, 7, 8
"""Trials, by what came of them: 1 was interrupted after an epoch, 2 to 5 while they waited, and 6
to 10 are those tried again."""
PLACES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
"""Where MLflow's database holds absolute paths."""


class CtrlC:
    """Interrupts the driver once, in the middle of trial 1."""

    sent = False

    def message(self, text: str) -> None: ...

    def refresh(self, progress: Progress) -> None:
        half = any(each.trial.number == 1 and each.epochs for each in progress.running.values())
        if half and not self.sent:
            self.sent = True
            os.kill(os.getpid(), signal.SIGINT)

    def ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None: ...


def make(folder: Path) -> Path:
    """Drive the study in `folder`; returns its home."""
    (folder / "tiny.toml").write_text(STUDY)
    home, watcher = folder / "mlruns", CtrlC()

    def drive() -> None:
        run_study(folder / "tiny.toml", home=home, device="cpu", workers=0, watcher=watcher)

    with pytest.raises(Interruption):
        drive()
    drive()
    return home


def copied(source: Path, target: Path) -> Path:
    """The same record elsewhere."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("reports"), symlinks=True)
    with closing(sqlite3.connect(target / "mlflow.db")) as database, database:
        for table, column in PLACES.items():
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            database.execute(change, (str(source), str(target)))
    return target


@dataclass
class Record:
    """A copy of the prepared study, to be damaged."""

    root: Path

    @property
    def home(self) -> Workspace:
        return Workspace(self.root)

    @property
    def journal_path(self) -> Path:
        return self.root / "optuna" / "tiny.journal"

    @property
    def journal(self) -> Journal:
        found = read(JournalFolder(self.journal_path.parent), "tiny")
        assert found is not None
        return found

    @cached_property
    def client(self) -> MlflowClient:
        return MlflowClient(self.home.local_uri, registry_uri=self.home.local_uri)

    def runs(self, uid: str, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
        experiment = self.client.get_experiment_by_name("tiny")
        assert experiment is not None
        wanted = f"tags.`harness.uid` = '{uid}'"
        return list(self.client.search_runs([experiment.experiment_id], wanted, view))

    def run(self, number: int) -> Run:
        (found,) = self.runs(self.journal.trial_uid(number))
        return found

    @property
    def parent(self) -> Run:
        (found,) = self.runs(self.journal.uid)
        return found

    def file(self, run: Run, name: str) -> Path:
        return Path(run.info.artifact_uri.removeprefix("file://")) / name

    def sql(self, statement: str, *values: Any) -> None:
        """Change MLflow's database behind its back."""
        with closing(sqlite3.connect(self.root / "mlflow.db")) as database, database:
            changed = database.execute(statement, values)
            assert changed.rowcount, "there was nothing to change"

    def rewrite(self, run: Run, name: str, content: bytes) -> None:
        """Give a file another content, and its digest with it."""
        self.file(run, name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        self.client.set_tag(run.info.run_id, f"harness.sha256.{name}", digest)

    def in_journal(self, old: str, new: str) -> None:
        """Change the journal's text in one place."""
        text = self.journal_path.read_text()
        assert text.count(old) == 1, f"{old} is there {text.count(old)} times"
        self.journal_path.write_text(text.replace(old, new))

    def lose_points(self, run: Run, key: str, steps: str = "step >= 0") -> None:
        self.sql(
            f"DELETE FROM metrics WHERE run_uuid = ? AND key = ? AND {steps}", run.info.run_id, key
        )

    def examined(self, repair: bool = False) -> Examined:
        (found,) = examine(self.home, "tiny", None, repair).studies
        return found

    def check_found(self, *wanted: tuple[int, str]) -> None:
        """These breaches are found, each (invariant, pattern) once, and no other."""
        found = [(each.invariant, str(each)) for each in self.examined().findings]
        for invariant, pattern in wanted:
            matching = [each for each in found if each[0] == invariant]
            matching = [each for each in matching if re.search(pattern, each[1])]
            assert len(matching) == 1, f"{invariant}, {pattern}: {matching} of {found}"
            found.remove(matching[0])
        assert not found, f"found beside them: {found}"

    def check_mended(self) -> None:
        """--repair mends it all, and leaves nothing for another examination to find."""
        done = self.examined(repair=True)
        assert done.mended
        assert not done.failed, done.lines
        assert not done.findings, done.lines
        assert self.examined().healthy
