"""Invariants 5 and 6 for the ensemble: its members, model and metrics, and its test result."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.ensemble_record import EnsembleRecord, hash_basis
from harness.checks.check_best_trial import build_study_run, compute_champion, get_study_command
from harness.checks.check_test_set import RESTORE_FILE, load_selections, matches_reading
from harness.checks.check_trial_counts import build_latest_point
from harness.checks.findings import AddPoints, Finding, MoveAlias, format_metric
from harness.checks.snapshot import Snapshot
from harness.errors import StoreError
from harness.metrics import read_score
from harness.test_set.selection import freeze_selection
from harness.tracking.predictions import TestPredictions
from harness.tracking.raw_types import (
    ENSEMBLE_FILE,
    ENSEMBLE_PREDICTIONS_FILE,
    WEIGHTS_FILE,
    selection_file,
)
from harness.tracking.types import ENSEMBLE_FACT, NO_ENSEMBLE

LOCATION = "the ensemble"


def check_ensemble(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 5: a finished study's ensemble has trials of the study, and is registered."""
    if not _has_ensemble(snapshot):
        return
    record = _read_record(snapshot)
    if record is None:
        yield Finding(5, LOCATION, f"{ENSEMBLE_FILE} cannot be read", remedy=RESTORE_FILE)
        return
    champion = compute_champion(snapshot)
    if champion is None:
        return  # reported by check_best_trial
    if record.basis != hash_basis(build_study_run(snapshot), champion):
        remedy = f"continue with: {get_study_command(snapshot)}"
        yield Finding(5, LOCATION, "it was chosen from other trials", remedy=remedy)
        return
    yield from _check_members(snapshot, record)
    yield from _check_metrics(snapshot, record)
    yield from _check_model(snapshot, record)


def check_ensemble_reading(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 6: its test result belongs to a recorded opening and its predictions."""
    record = _read_record(snapshot) if _has_ensemble(snapshot) else None
    log, run = snapshot.test_set_log, snapshot.study_run
    if record is None or run is None:
        return
    reading = record.reading
    opened = log.list_selections() if log is not None else []
    if reading is None:
        if freeze_selection(build_study_run(snapshot)).hash in opened:
            remedy = f"continue with: {get_study_command(snapshot)}"
            problem = "the study finished without reading the test set for it"
            yield Finding(6, LOCATION, problem, remedy=remedy)
        return
    if reading.selection not in load_selections(snapshot):
        problem = f"{selection_file(reading.selection)} is missing or has another hash"
        yield Finding(6, LOCATION, problem, remedy=RESTORE_FILE)
    opening = log.find_opening(reading.selection) if log is not None else None
    if log is not None and (opening is None or opening.look != reading.look):
        problem = f"was read in opening number {reading.look}, which the log does not have"
        yield Finding(6, LOCATION, problem, remedy=f"restore {log.path} from a backup")
    content = run.file_content(ENSEMBLE_PREDICTIONS_FILE)
    try:
        same = content is not None and matches_reading(TestPredictions.from_bytes(content), reading)
    except Exception as error:
        problem = f"{ENSEMBLE_PREDICTIONS_FILE} cannot be read ({type(error).__name__})"
        yield Finding(6, LOCATION, problem, remedy=RESTORE_FILE)
        return
    if not same:
        problem = f"{ENSEMBLE_PREDICTIONS_FILE} does not agree with the recorded test result"
        yield Finding(6, LOCATION, problem, remedy=RESTORE_FILE)


def _has_ensemble(snapshot: Snapshot) -> bool:
    """Whether the study finished with an ensemble, and its trials can be read."""
    run, journal = snapshot.study_run, snapshot.journal
    if run is None or journal is None or not journal.is_started or not snapshot.is_finished:
        return False
    return run.tags.get(f"harness.{ENSEMBLE_FACT}", NO_ENSEMBLE) != NO_ENSEMBLE


def _read_record(snapshot: Snapshot) -> EnsembleRecord | None:
    content = snapshot.study_run.file_content(ENSEMBLE_FILE) if snapshot.study_run else None
    try:
        return EnsembleRecord.from_json(content) if content else None
    except StoreError:
        return None


def _check_members(snapshot: Snapshot, record: EnsembleRecord) -> Iterator[Finding]:
    """Check that each member is a complete trial whose weights are kept."""
    journal = snapshot.journal
    assert journal is not None
    for member in record.members:
        number = member.number
        known = number < len(journal.trials) and journal.trial_uid(number) == member.uid
        if not known or journal.get_state(journal.trials[number]) != "COMPLETE":
            yield Finding(5, LOCATION, f"member trial {number} is not a complete trial")
            continue
        run = snapshot.runs.get(number)
        if run is not None and WEIGHTS_FILE not in run.files:
            problem = f"member trial {number} has no {WEIGHTS_FILE}"
            yield Finding(5, LOCATION, problem, remedy=RESTORE_FILE)
    if abs(sum(member.weight for member in record.members) - 1) > 1e-6:
        yield Finding(5, LOCATION, "the weights of its members do not add up to 1")


def _check_metrics(snapshot: Snapshot, record: EnsembleRecord) -> Iterator[Finding]:
    """Check that the study's run has the ensemble's metrics."""
    run, journal = snapshot.study_run, snapshot.journal
    assert run is not None
    assert journal is not None
    score = read_score(journal.attrs["definition"]).tested
    for key, value in record.metrics(score).items():
        if (recorded := run.metrics.get(key)) != value:
            problem = f"the study's {key} is {format_metric(recorded)}, not {value:g}"
            point = build_latest_point(run, key, value)
            yield Finding(5, LOCATION, problem, AddPoints(run.run_id, (point,), ENSEMBLE_FILE))


def _check_model(snapshot: Snapshot, record: EnsembleRecord) -> Iterator[Finding]:
    """Check that the ensemble is registered, and that the alias points to it."""
    study, journal = snapshot.study, snapshot.journal
    if study is None or journal is None or record.problem:
        return
    ours = [each for each in study.versions if each.ensemble_digest == record.digest]
    if not ours:
        problem = f"no version of the model '{journal.study_name}' is this ensemble"
        yield Finding(5, LOCATION, problem, remedy="restore the registry from a backup")
        return
    version = max(ours, key=lambda each: int(each.version))
    if version.problem:
        yield Finding(
            5, LOCATION, f"version {version.version}: {version.problem}", remedy=RESTORE_FILE
        )
    if snapshot.name == journal.study_name and not version.is_ensemble:
        problem = f"the alias 'ensemble' does not point at version {version.version}"
        fix = MoveAlias(journal.study_name, version.version, "ensemble")
        yield Finding(5, LOCATION, problem, fix)
