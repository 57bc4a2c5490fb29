"""What a study found, so that an interrupted one can be held against one that was left alone."""

from __future__ import annotations

from pathlib import Path

import optuna

from harness.search.storage.postgres import PostgresStorage
from harness.tracking.types import StudyRun
from harness.workspace import Workspace


def read(folder: Path, name: str = "tiny") -> StudyRun:
    study = Workspace(folder / "mlruns").open_tracker(None, reading=True).read_study(name)
    assert study is not None
    return study


def by_ordinal(folder: Path, storage: str = "") -> dict[int, object]:
    """What came of each distinct setting, from Optuna's record and from MLflow; `storage` is a
    PostgreSQL's, if it is not a journal."""
    runs = {run.number: run for run in read(folder).trials}
    found: dict[int, object] = {}
    for trial in asked(folder, storage):
        if trial.user_attrs.get("successor") is not None:
            assert runs[trial.number].state == "INTERRUPTED"
            continue
        run, ordinal = runs[trial.number], trial.user_attrs["ordinal"]
        assert ordinal not in found, f"the setting {ordinal} counts twice"
        curve = [(e.epoch, e.train_loss, e.val_loss, e.val_accuracy) for e in run.epochs]
        found[ordinal] = trial.params, run.spec, run.state, trial.value, curve, run.confusion
    return found


def confirmed(folder: Path, storage: str = "") -> dict[tuple[int, int], object]:
    """What came of the best settings, by their ordinal and the fresh seed."""
    trials = asked(folder, storage)
    ordinals = {trial.number: trial.user_attrs.get("ordinal") for trial in trials}
    found: dict[tuple[int, int], object] = {}
    for run in read(folder).confirmation_runs:
        if run.state != "INTERRUPTED":
            place = ordinals[run.number], run.spec.seed
            assert place not in found, f"{place} counts twice"
            curve = [(e.epoch, e.train_loss, e.val_loss, e.val_accuracy) for e in run.epochs]
            found[place] = run.spec, run.state, curve, run.confusion
    return found


def asked(folder: Path, storage: str = "") -> list[optuna.trial.FrozenTrial]:
    """Optuna's trials."""
    if storage:
        with PostgresStorage(storage).reading() as found:
            return optuna.load_study(study_name="tiny", storage=found).trials
    path = folder / "mlruns" / "optuna" / "tiny.journal"
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    found = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name="tiny", storage=found).trials
