"""The results of a study in a form that compares an interrupted study to an undisturbed one."""

from __future__ import annotations

from pathlib import Path

import optuna

from harness.search.storage.postgres import PostgresStorage
from harness.tracking.types import StudyRun
from harness.workspace import Workspace


def read_study(folder: Path, name: str = "tiny") -> StudyRun:
    study = Workspace(folder / "mlruns").open_tracker(None, reading=True).read_study(name)
    assert study is not None
    return study


def results_by_ordinal(folder: Path, storage: str = "") -> dict[int, object]:
    """Return the result of each distinct setting, from the Optuna record and from MLflow.

    `storage` is a PostgreSQL address, if the Optuna record is not a journal.
    """
    runs = {run.number: run for run in read_study(folder).trials}
    results: dict[int, object] = {}
    for trial in read_optuna_trials(folder, storage):
        if trial.user_attrs.get("successor") is not None:
            assert runs[trial.number].state == "INTERRUPTED"
            continue
        run, ordinal = runs[trial.number], trial.user_attrs["ordinal"]
        assert ordinal not in results, f"the setting {ordinal} counts twice"
        curve = [(e.epoch, e.train_loss, e.val_loss, e.val_accuracy) for e in run.epochs]
        results[ordinal] = trial.params, run.spec, run.state, trial.value, curve, run.confusion
    return results


def confirmation_results(folder: Path, storage: str = "") -> dict[tuple[int, int], object]:
    """Return the results of the confirmation runs by the setting's ordinal and the new seed."""
    trials = read_optuna_trials(folder, storage)
    ordinals = {trial.number: trial.user_attrs.get("ordinal") for trial in trials}
    results: dict[tuple[int, int], object] = {}
    for run in read_study(folder).confirmation_runs:
        if run.state != "INTERRUPTED":
            key = ordinals[run.number], run.spec.seed
            assert key not in results, f"{key} counts twice"
            curve = [(e.epoch, e.train_loss, e.val_loss, e.val_accuracy) for e in run.epochs]
            results[key] = run.spec, run.state, curve, run.confusion
    return results


def read_optuna_trials(folder: Path, storage: str = "") -> list[optuna.trial.FrozenTrial]:
    """Return the trials of the Optuna record."""
    if storage:
        with PostgresStorage(storage).open_read_only() as database:
            return optuna.load_study(study_name="tiny", storage=database).trials
    path = folder / "mlruns" / "optuna" / "tiny.journal"
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    journal = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name="tiny", storage=journal).trials
