"""Invariants 5 and 7 for the final models of a study with folds: they are there, as written."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.confirmation import find_model_run
from harness.analysis.final_model import FinalModel
from harness.checks.check_best_trial import build_study_run, compute_champion, get_study_command
from harness.checks.check_files import RESTORE, check_run_files
from harness.checks.findings import Finding
from harness.checks.snapshot import Snapshot
from harness.errors import StoreError
from harness.test_set.selection import list_tested_runs
from harness.tracking.raw_types import (
    DIGEST_TAG,
    FINAL_FILE,
    FINAL_WEIGHTS_FILE,
    REBUILT_TAG,
    RawRun,
)
from harness.tracking.types import CONFIRM_INFIX, RunRecord

FILES = (FINAL_WEIGHTS_FILE, FINAL_FILE)


def check_final_models(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 5: a finished study has its final models, trained for the right epochs."""
    for record in _list_runs(snapshot):
        run, location = _find_run(snapshot, record), f"trial {record.number}'s final model"
        if run is None or REBUILT_TAG in run.tags:
            continue  # a missing run is reported under invariant 1; a rebuilt one has no files
        never = [name for name in FILES if f"{DIGEST_TAG}{name}" not in run.tags]
        if lacking := [name for name in never if name not in run.files]:
            problem = f"the study finished without {' and '.join(lacking)}"
            remedy = f"train it with: {get_study_command(snapshot)}"
            yield Finding(5, location, problem, remedy=remedy)
        content = run.file_content(FINAL_FILE)
        if content is None:
            continue  # reported above or under invariant 7
        try:
            epochs = FinalModel.from_json(content).epochs
        except StoreError:
            yield Finding(5, location, f"{FINAL_FILE} cannot be read", remedy=RESTORE)
            continue
        document = snapshot.read_document(run)
        best = document["best"] if document else None
        if best is not None and best.epoch != epochs:
            problem = f"was trained for {epochs} epochs, and the best epoch is {best.epoch}"
            yield Finding(5, location, problem, remedy=RESTORE)


def check_confirmation_files(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 7 for the final model of a confirmation run; `check_files` does all else."""
    for record in _list_runs(snapshot):
        run = _find_run(snapshot, record) if CONFIRM_INFIX in record.uid else None
        if run is not None:
            whose = f"the confirmation run's of trial {record.number}"
            yield from check_run_files(whose, run, set(), only=FILES)


def _list_runs(snapshot: Snapshot) -> list[RunRecord]:
    """Return the runs of a finished study that have a final model."""
    if not snapshot.is_finished or snapshot.journal is None or not snapshot.journal.is_started:
        return []
    champion = compute_champion(snapshot)
    study = build_study_run(snapshot) if champion is not None else None
    if champion is None or study is None or not study.is_retrained:
        return []
    run = find_model_run(study, champion)
    return list_tested_runs(study, run) if study.has_test_set else [run]


def _find_run(snapshot: Snapshot, record: RunRecord) -> RawRun | None:
    if CONFIRM_INFIX not in record.uid:
        return snapshot.runs.get(record.number)
    runs = snapshot.confirmation_runs.get(record.uid, [])
    return runs[0] if len(runs) == 1 else None
