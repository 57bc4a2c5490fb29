"""Invariants 1 and 3: one run for each trial, in the journal's state, and nothing left running."""

from __future__ import annotations

from collections.abc import Iterator

from optuna.trial import FrozenTrial, TrialState

from harness.doctor.findings import (
    DIED,
    CloseStale,
    Delete,
    Finding,
    Mend,
    Remake,
    Remove,
    Restore,
    RestoreStudy,
    Send,
    SetRun,
)
from harness.doctor.snapshot import Snapshot
from harness.tracking.raw_types import DOCUMENT, RawRun, Status
from harness.tracking.types import State

STATUS: dict[State, Status] = {
    "COMPLETE": "FINISHED",
    "PRUNED": "FINISHED",
    "FAILED": "FAILED",
    "INTERRUPTED": "KILLED",
}
"""Of a run in MLflow, by what a trial or study came to."""


def one_run_each(evidence: Snapshot) -> Iterator[Finding]:
    """Invariant 1."""
    journal, study = evidence.journal, evidence.study
    if evidence.unread:
        return
    if journal is None or not journal.begun:
        yield Finding(
            1,
            evidence.name,
            "it has runs but no journal" if study else "there is nothing of it in the store",
            remedy="give back mlruns/optuna from a copy, or start over with --fresh",
        )
        return
    if study is None:
        if any(journal.state(trial) is not None for trial in journal.trials):
            yield Finding(
                1,
                evidence.name,
                "the journal has trials, the store has nothing of the study",
                remedy="give back the store from a copy, or start over with --fresh",
            )
        return
    if study.deleted:
        mend = RestoreStudy(study.experiment_id)
        yield Finding(1, evidence.name, "its experiment was deleted in MLflow", mend)
        return
    yield from _one("the study", evidence, journal.uid, None)
    for trial in journal.trials:
        uid, state = journal.trial_uid(trial.number), journal.state(trial)
        if state is None or (state == "RUNNING" and not study.of(uid)):
            continue  # it only waits to be tried, or its driver died before it made a run
        yield from _one(f"trial {trial.number}", evidence, uid, Remake(trial.number))
        run = evidence.runs.get(trial.number)
        if run is not None and not _running(run):
            yield from _as_the_journal(evidence, trial, run)
    if evidence.parent is not None and not _running(evidence.parent):
        yield from _parent(evidence.parent)
    known = {journal.trial_uid(trial.number) for trial in journal.trials}
    for run in study.runs:
        ours = run.uid.startswith(f"{journal.uid}/") and run.kind not in ("confirm", "confirmation")
        if not run.deleted and ours and run.uid not in known:
            number = run.uid.partition("/")[2]
            yield Finding(
                1,
                f"run {run.run_id}",
                f"is of trial {number}, which the journal does not have",
                remedy="give back the journal from a copy, or delete the run in MLflow",
            )


def nothing_running(evidence: Snapshot) -> Iterator[Finding]:
    """Invariant 3; nobody holds the study's lock."""
    journal = evidence.journal
    trials = journal.trials if journal else ()
    stale = [trial for trial in trials if trial.state == TrialState.RUNNING]
    for trial in stale:
        what = "is RUNNING in the journal, and its driver is dead"
        yield Finding(3, f"trial {trial.number}", what, CloseStale())
    for number, run in evidence.runs.items():
        assert journal is not None
        trial = journal.trials[number]
        if _running(run) and journal.state(trial) not in ("RUNNING", None):
            mend = SetRun(run.run_id, *expected_run(evidence, trial))
            yield Finding(3, f"trial {number}", f"its run {run.run_id} is RUNNING", mend)
    parent = evidence.parent
    if parent is not None and _running(parent):
        interrupted = {"harness.state": "INTERRUPTED", "harness.reason": DIED}
        mend = SetRun(parent.run_id, "KILLED", interrupted)
        yield Finding(3, "the study", f"its run {parent.run_id} is RUNNING", mend)
    for path, what in evidence.left.items():
        yield Finding(3, str(path), f"was left behind; it is {what}", Remove(path))
    if evidence.spool is not None and evidence.waiting:
        what = f"{evidence.waiting} writes of the record wait to be sent"
        yield Finding(3, str(evidence.spool), what, Send())
    elif evidence.spool is not None and not stale:
        what = "was left behind by a dead driver; all of it was sent"
        yield Finding(3, str(evidence.spool), what, Remove(evidence.spool))
    for stray in evidence.strays:
        what = "is a worker whose driver is dead"
        yield Finding(3, stray, what, remedy=f"end it: kill -9 {stray.rpartition(' ')[2]}")


def _running(run: RawRun) -> bool:
    return run.status in ("RUNNING", "SCHEDULED") or run.state == "RUNNING"


def _one(where: str, evidence: Snapshot, uid: str, remake: Mend | None) -> Iterator[Finding]:
    """That a uid has exactly one run."""
    assert evidence.study is not None
    runs, deleted = evidence.study.of(uid), evidence.study.of(uid, deleted=True)
    if not runs and deleted:
        best = max(deleted, key=lambda run: _worth(evidence, run))
        yield Finding(1, where, f"its run {best.run_id} was deleted", Restore(best.run_id))
    elif not runs:
        remedy = "give back the store from a copy, or start over with --fresh"
        yield Finding(1, where, "it has no run", remake, "" if remake else remedy)
    elif len(runs) > 1:
        best = max(runs, key=lambda run: _worth(evidence, run))
        for run in runs:
            if run is not best:
                what = f"it has run {run.run_id} beside {best.run_id}"
                yield Finding(1, where, what, Delete(run.run_id))


def _worth(evidence: Snapshot, run: RawRun) -> tuple[int, bool, int, int, int]:
    """Of runs for one trial the best is kept: what children hang on, what ended, what has more."""
    assert evidence.study is not None
    children = sum(
        each.tags.get("mlflow.parentRunId") == run.run_id for each in evidence.study.runs
    )
    whole = run.status == "FINISHED" and (DOCUMENT in run.files or run.kind == "study")
    return children, whole, len(run.files), len(run.points), -run.started


def expected_run(
    evidence: Snapshot, trial: FrozenTrial
) -> tuple[Status, dict[str, str], int | None]:
    """A trial's state in MLflow, our tags of it, and when it ended."""
    assert evidence.journal is not None
    state = evidence.journal.state(trial)
    assert state is not None
    tags = {
        "harness.kind": "trial",
        "harness.number": str(trial.number),
        "harness.attempt": str(trial.user_attrs.get("attempt", 1)),
        "harness.state": state,
    }
    if evidence.parent is not None:
        tags["mlflow.parentRunId"] = evidence.parent.run_id
    if state in ("FAILED", "INTERRUPTED") and trial.user_attrs.get("reason"):
        tags["harness.reason"] = trial.user_attrs["reason"]
    if state == "INTERRUPTED":
        tags["harness.successor"] = str(trial.user_attrs["successor"])
    ended = trial.datetime_complete
    return STATUS[state], tags, int(ended.timestamp() * 1000) if ended else None


def _as_the_journal(evidence: Snapshot, trial: FrozenTrial, run: RawRun) -> Iterator[Finding]:
    assert evidence.journal is not None
    if evidence.journal.state(trial) == "RUNNING":
        return  # told under invariant 3
    status, tags, ended = expected_run(evidence, trial)
    where, mend = f"trial {trial.number}", SetRun(run.run_id, status, tags, ended)
    if run.status != status:
        what = f"its run is {run.status} in MLflow, and {tags['harness.state']} means {status}"
        yield Finding(1, where, what, mend)
    for key, value in tags.items():
        if (told := run.tags.get(key)) != value:
            name = key.removeprefix("harness.").removeprefix("mlflow.")
            what = f"its run's {name} is {told or 'not told'}, the journal's {value}"
            yield Finding(1, where, what, mend)
    unsaid = "harness.reason" not in tags and not run.tags.get("harness.reason")
    if tags["harness.state"] == "FAILED" and unsaid:
        yield Finding(1, where, "it failed, and nothing on record says why")


def _parent(run: RawRun) -> Iterator[Finding]:
    states = [state for state in STATUS if state == run.state]
    if not states:
        what = f"its run's state is {run.state or 'not told'}"
        mend = SetRun(run.run_id, "KILLED", {"harness.state": "INTERRUPTED"})
        yield Finding(1, "the study", what, mend)
    elif run.status != STATUS[states[0]]:
        what = f"its run is {run.status} in MLflow, and {run.state} means {STATUS[states[0]]}"
        yield Finding(1, "the study", what, SetRun(run.run_id, STATUS[states[0]]))
