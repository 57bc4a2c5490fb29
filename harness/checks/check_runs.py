"""Invariants 1 and 3: each trial has one run in the journal's state, nothing is left running."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.formatting import format_count
from harness.checks.findings import (
    DIED,
    CloseStaleTrials,
    DeleteRun,
    Finding,
    Fix,
    RecreateRun,
    RemoveFile,
    RestoreRun,
    RestoreStudy,
    SendOutbox,
    UpdateRun,
)
from harness.checks.snapshot import Snapshot
from harness.search.read_only import FrozenTrial, TrialState
from harness.tracking.raw_types import DOCUMENT_FILE, RawRun, Status
from harness.tracking.types import State

STATUS: dict[State, Status] = {
    "COMPLETE": "FINISHED",
    "PRUNED": "FINISHED",
    "FAILED": "FAILED",
    "INTERRUPTED": "KILLED",
}
"""The MLflow status of a run, by the state of its trial or study."""


def check_one_run_per_trial(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 1: each trial has exactly one run, whose tags agree with the journal."""
    journal, study = snapshot.journal, snapshot.study
    if snapshot.unread_reason:
        return
    if journal is None or not journal.is_started:
        yield Finding(
            1,
            snapshot.name,
            "it has runs but no journal" if study else "the store has no runs of it",
            remedy="restore mlruns/optuna from a backup, or start over with --fresh",
        )
        return
    if study is None:
        if any(journal.get_state(trial) is not None for trial in journal.trials):
            yield Finding(
                1,
                snapshot.name,
                "the journal has trials, but the store has no runs of the study",
                remedy="restore the store from a backup, or start over with --fresh",
            )
        return
    if study.deleted:
        fix = RestoreStudy(study.experiment_id)
        yield Finding(1, snapshot.name, "its experiment was deleted in MLflow", fix)
        return
    yield from _check_single_run("the study", snapshot, journal.uid, None)
    for trial in journal.trials:
        uid, state = journal.trial_uid(trial.number), journal.get_state(trial)
        if state is None or (state == "RUNNING" and not study.find_runs(uid)):
            continue  # it waits for a retry, or its driver died before the run was created
        yield from _check_single_run(
            f"trial {trial.number}", snapshot, uid, RecreateRun(trial.number)
        )
        run = snapshot.runs.get(trial.number)
        if run is not None and not is_running(run):
            yield from _compare_with_journal(snapshot, trial, run)
    if snapshot.study_run is not None and not is_running(snapshot.study_run):
        yield from _check_study_run(snapshot.study_run)
    known = {journal.trial_uid(trial.number) for trial in journal.trials}
    for run in study.runs:
        ours = run.uid.startswith(f"{journal.uid}/") and run.kind not in ("confirm", "confirmation")
        if not run.deleted and ours and run.uid not in known:
            number = run.uid.partition("/")[2]
            yield Finding(
                1,
                f"run {run.run_id}",
                f"belongs to trial {number}, which the journal does not have",
                remedy="restore the journal from a backup, or delete the run in MLflow",
            )


def check_nothing_running(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 3: nothing is left running, locked or unsent. No driver is running."""
    journal = snapshot.journal
    trials = journal.trials if journal else ()
    stale = [trial for trial in trials if trial.state == TrialState.RUNNING]
    for trial in stale:
        problem = "is RUNNING in the journal, and its driver is dead"
        yield Finding(3, f"trial {trial.number}", problem, CloseStaleTrials())
    for number, run in snapshot.runs.items():
        assert journal is not None
        trial = journal.trials[number]
        if is_running(run) and journal.get_state(trial) not in ("RUNNING", None):
            fix = UpdateRun(run.run_id, *build_expected_run(snapshot, trial))
            yield Finding(3, f"trial {number}", f"its run {run.run_id} is RUNNING", fix)
    parent = snapshot.study_run
    if parent is not None and is_running(parent):
        interrupted = {"harness.state": "INTERRUPTED", "harness.reason": DIED}
        fix = UpdateRun(parent.run_id, "KILLED", interrupted)
        yield Finding(3, "the study", f"its run {parent.run_id} is RUNNING", fix)
    for path, problem in snapshot.leftover_files.items():
        yield Finding(3, str(path), f"was left behind; it is {problem}", RemoveFile(path))
    if snapshot.outbox is not None and snapshot.unsent:
        verb = "waits" if snapshot.unsent == 1 else "wait"
        problem = f"{format_count(snapshot.unsent, 'write')} {verb} to be sent"
        yield Finding(3, str(snapshot.outbox), problem, SendOutbox())
    elif snapshot.outbox is not None and not stale:
        problem = "was left behind by a dead driver; everything in it was sent"
        yield Finding(3, str(snapshot.outbox), problem, RemoveFile(snapshot.outbox))
    for stray in snapshot.stray_workers:
        problem = "is a worker whose driver is dead"
        yield Finding(3, stray, problem, remedy=f"end it: kill -9 {stray.rpartition(' ')[2]}")


def is_running(run: RawRun) -> bool:
    return run.status in ("RUNNING", "SCHEDULED") or run.state == "RUNNING"


def _check_single_run(
    location: str, snapshot: Snapshot, uid: str, recreate: Fix | None
) -> Iterator[Finding]:
    """Check that a uid has exactly one run."""
    assert snapshot.study is not None
    runs, deleted = snapshot.study.find_runs(uid), snapshot.study.find_runs(uid, deleted=True)
    if not runs and deleted:
        best = max(deleted, key=lambda run: _rank_run(snapshot, run))
        yield Finding(1, location, f"its run {best.run_id} was deleted", RestoreRun(best.run_id))
    elif not runs:
        remedy = "restore the store from a backup, or start over with --fresh"
        yield Finding(1, location, "it has no run", recreate, "" if recreate else remedy)
    elif len(runs) > 1:
        best = max(runs, key=lambda run: _rank_run(snapshot, run))
        for run in runs:
            if run is not best:
                problem = f"it has run {run.run_id} beside {best.run_id}"
                yield Finding(1, location, problem, DeleteRun(run.run_id))


def _rank_run(snapshot: Snapshot, run: RawRun) -> tuple[int, bool, int, int, int]:
    """Rank the runs of one trial: by children, then by whether it ended, files, points and age."""
    assert snapshot.study is not None
    children = sum(
        each.tags.get("mlflow.parentRunId") == run.run_id for each in snapshot.study.runs
    )
    ended = run.status == "FINISHED" and (DOCUMENT_FILE in run.files or run.kind == "study")
    return children, ended, len(run.files), len(run.points), -run.started


def build_expected_run(
    snapshot: Snapshot, trial: FrozenTrial
) -> tuple[Status, dict[str, str], int | None]:
    """Return the status, the tags and the end (in ms) that a trial's run should have in MLflow."""
    assert snapshot.journal is not None
    state = snapshot.journal.get_state(trial)
    assert state is not None
    tags = {
        "harness.kind": "trial",
        "harness.number": str(trial.number),
        "harness.attempt": str(trial.user_attrs.get("attempt", 1)),
        "harness.state": state,
    }
    if snapshot.study_run is not None:
        tags["mlflow.parentRunId"] = snapshot.study_run.run_id
    if state in ("FAILED", "INTERRUPTED") and trial.user_attrs.get("reason"):
        tags["harness.reason"] = trial.user_attrs["reason"]
    if state == "INTERRUPTED":
        tags["harness.successor"] = str(trial.user_attrs["successor"])
    ended = trial.datetime_complete
    return STATUS[state], tags, int(ended.timestamp() * 1000) if ended else None


def _compare_with_journal(snapshot: Snapshot, trial: FrozenTrial, run: RawRun) -> Iterator[Finding]:
    assert snapshot.journal is not None
    if snapshot.journal.get_state(trial) == "RUNNING":
        return  # reported under invariant 3
    status, tags, ended = build_expected_run(snapshot, trial)
    location, fix = f"trial {trial.number}", UpdateRun(run.run_id, status, tags, ended)
    if run.status != status:
        problem = f"its run is {run.status} in MLflow, and {tags['harness.state']} means {status}"
        yield Finding(1, location, problem, fix)
    for key, value in tags.items():
        if (recorded := run.tags.get(key)) != value:
            name = key.removeprefix("harness.").removeprefix("mlflow.")
            problem = f"its run's {name} is {recorded or 'not recorded'}, the journal's {value}"
            yield Finding(1, location, problem, fix)
    reason_missing = "harness.reason" not in tags and not run.tags.get("harness.reason")
    if tags["harness.state"] == "FAILED" and reason_missing:
        yield Finding(1, location, "it failed without a recorded reason")


def _check_study_run(run: RawRun) -> Iterator[Finding]:
    states = [state for state in STATUS if state == run.state]
    if not states:
        problem = f"its run's state is {run.state or 'not recorded'}"
        fix = UpdateRun(run.run_id, "KILLED", {"harness.state": "INTERRUPTED"})
        yield Finding(1, "the study", problem, fix)
    elif run.status != STATUS[states[0]]:
        problem = f"its run is {run.status} in MLflow, and {run.state} means {STATUS[states[0]]}"
        yield Finding(1, "the study", problem, UpdateRun(run.run_id, STATUS[states[0]]))
