"""One small study with a trial in every final state, run once and copied for each test."""

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

from harness.api.run import run_study
from harness.checks.journal_reader import Journal, read_journal
from harness.checks.report import StudyReport, check_studies
from harness.errors import Interruption
from harness.results import Outcome
from harness.search.storage.journal import JournalFolder
from harness.sweep.progress import Progress
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
"""Trials by final state: 1 was interrupted after an epoch, 2 to 5 while they waited; 6 to 10 are
their retries."""
PATH_COLUMNS = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
"""The columns of MLflow's database that hold absolute paths."""


class InterruptOnce:
    """Interrupts the driver once, in the middle of trial 1."""

    sent = False

    def stage(self, text: str) -> None: ...

    def message(self, text: str) -> None: ...

    def refresh(self, progress: Progress) -> None:
        half = any(each.trial.number == 1 and each.epochs for each in progress.running.values())
        if half and not self.sent:
            self.sent = True
            os.kill(os.getpid(), signal.SIGINT)

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None: ...


def run_example_study(folder: Path) -> Path:
    """Run the study in `folder`, interrupted once; return its workspace."""
    (folder / "tiny.toml").write_text(STUDY)
    home, watcher = folder / "mlruns", InterruptOnce()

    def drive() -> None:
        run_study(folder / "tiny.toml", home=home, device="cpu", workers=0, progress=watcher)

    with pytest.raises(Interruption):
        drive()
    drive()
    return home


def copy_record(source: Path, target: Path) -> Path:
    """Copy a record to another folder."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("reports"), symlinks=True)
    with closing(sqlite3.connect(target / "mlflow.db")) as database, database:
        for table, column in PATH_COLUMNS.items():
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            database.execute(change, (str(source), str(target)))
    return target


@dataclass
class Record:
    """A copy of the example study, to be damaged."""

    root: Path

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root)

    @property
    def journal_path(self) -> Path:
        return self.root / "optuna" / "tiny.journal"

    @property
    def journal(self) -> Journal:
        journal = read_journal(JournalFolder(self.journal_path.parent), "tiny")
        assert journal is not None
        return journal

    @cached_property
    def client(self) -> MlflowClient:
        return MlflowClient(self.workspace.local_uri, registry_uri=self.workspace.local_uri)

    def runs(self, uid: str, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
        experiment = self.client.get_experiment_by_name("tiny")
        assert experiment is not None
        wanted = f"tags.`harness.uid` = '{uid}'"
        return list(self.client.search_runs([experiment.experiment_id], wanted, view))

    def run(self, number: int) -> Run:
        (run,) = self.runs(self.journal.trial_uid(number))
        return run

    @property
    def study_run(self) -> Run:
        (run,) = self.runs(self.journal.uid)
        return run

    def file(self, run: Run, name: str) -> Path:
        return Path(run.info.artifact_uri.removeprefix("file://")) / name

    def sql(self, statement: str, *values: Any) -> None:
        """Change MLflow's database behind its back."""
        with closing(sqlite3.connect(self.root / "mlflow.db")) as database, database:
            changed = database.execute(statement, values)
            assert changed.rowcount, "there was nothing to change"

    def rewrite(self, run: Run, name: str, content: bytes) -> None:
        """Replace a file's content and its recorded digest."""
        self.file(run, name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        self.client.set_tag(run.info.run_id, f"harness.sha256.{name}", digest)

    def replace_in_journal(self, old: str, new: str) -> None:
        """Replace text that occurs once in the journal."""
        text = self.journal_path.read_text()
        assert text.count(old) == 1, f"{old} is there {text.count(old)} times"
        self.journal_path.write_text(text.replace(old, new))

    def lose_points(self, run: Run, key: str, steps: str = "step >= 0") -> None:
        self.sql(
            f"DELETE FROM metrics WHERE run_uuid = ? AND key = ? AND {steps}", run.info.run_id, key
        )

    def check_study(self, repair: bool = False) -> StudyReport:
        (report,) = check_studies(self.workspace, "tiny", None, repair).studies
        return report

    def expect_findings(self, *wanted: tuple[int, str]) -> None:
        """Expect exactly these findings, each an (invariant, pattern)."""
        findings = [(each.invariant, str(each)) for each in self.check_study().findings]
        for invariant, pattern in wanted:
            matching = [each for each in findings if each[0] == invariant]
            matching = [each for each in matching if re.search(pattern, each[1])]
            assert len(matching) == 1, f"{invariant}, {pattern}: {matching} of {findings}"
            findings.remove(matching[0])
        assert not findings, f"unexpected: {findings}"

    def expect_repaired(self) -> None:
        """Expect that --repair fixes everything and that the study is healthy afterwards."""
        done = self.check_study(repair=True)
        assert done.mended
        assert not done.failed, done.lines
        assert not done.findings, done.lines
        assert self.check_study().healthy
