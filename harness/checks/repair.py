"""Apply the fixes of findings, under the study's lock."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace

from harness.checks.check_runs import build_expected_run
from harness.checks.findings import (
    DIED,
    AddPoints,
    CloseStaleTrials,
    DeleteRun,
    Finding,
    Fix,
    MoveAlias,
    RecreateRun,
    RemoveFile,
    RestoreRun,
    RestoreStudy,
    SendOutbox,
    TruncateJournal,
    UpdateLocations,
    UpdateRun,
)
from harness.checks.registry import run_checks
from harness.checks.snapshot import Snapshot, take_snapshot
from harness.errors import HarnessError, StoreError, StudyError
from harness.metrics import get_score_metric, get_sort_sign, list_unmeasured_fields
from harness.results import EpochMetrics
from harness.search.read_only import reopen_search
from harness.sweep.recovery import recover_trials
from harness.tracking.raw_types import DOCUMENT_FILE, REBUILT_TAG, Point, RawReader
from harness.tracking.trial_document import build_trial_document
from harness.workspace import Workspace, private_files

MAX_ROUNDS = 6
"""One fix can reveal the next problem: a restored run may have the wrong state."""
URGENT = (SendOutbox, RestoreStudy, RestoreRun, DeleteRun, CloseStaleTrials, RecreateRun)
"""Fixes that are applied before all others."""


@dataclass
class RepairResult:
    """Findings that were fixed, and messages of fixes that failed."""

    mended: list[Finding] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def repair_study(
    workspace: Workspace, name: str, uri: str, reader: RawReader, before: list[Finding]
) -> RepairResult:
    """Fix the findings `before` of study `name`.

    Raises StudyError where a driver is running it, StoreError where its journal is damaged before
    its end.
    """
    done = RepairResult()
    place = workspace.study_storage(uri)
    with private_files(), place.lock(name):
        # Taking the lock removes a dead driver's files and cuts a torn journal record off. Opening
        # the store updated its paths.
        by_lock = (TruncateJournal, UpdateLocations, RemoveFile)
        done.mended += [each for each in before if isinstance(each.fix, by_lock)]
        tried: set[str] = set()
        for _ in range(MAX_ROUNDS):
            snapshot = replace(take_snapshot(workspace, name, uri, reader, ""), leftover_files={})
            todo = [each for each in run_checks(snapshot) if each.fix and str(each) not in tried]
            if not todo:
                break
            todo.sort(key=lambda each: not isinstance(each.fix, URGENT))
            mends: set[str] = set()
            urgent = isinstance(todo[0].fix, URGENT)
            for finding in todo:
                assert finding.fix is not None
                if urgent and not isinstance(finding.fix, URGENT):
                    break  # the next round checks these again
                tried.add(str(finding))
                try:
                    if repr(finding.fix) not in mends:
                        apply_fix(workspace, name, uri, reader, snapshot, finding.fix)
                    mends.add(repr(finding.fix))
                    done.mended.append(finding)
                except HarnessError as error:
                    done.failed.append(f"{finding.location}: {error}")
    return done


def apply_fix(
    workspace: Workspace, name: str, uri: str, reader: RawReader, snapshot: Snapshot, fix: Fix
) -> None:
    """Apply one fix. Raises HarnessError."""
    match fix:
        case SendOutbox():
            _send_outbox(workspace, name, uri, reader, snapshot)
        case RestoreStudy():
            reader.restore_study(fix.experiment_id)
        case RestoreRun():
            reader.restore_run(fix.run_id)
        case DeleteRun():
            reader.delete_run(fix.run_id)
        case CloseStaleTrials():
            _close_stale(workspace, name, uri, snapshot)
        case RecreateRun():
            _recreate_run(reader, snapshot, fix.number)
        case UpdateRun():
            reader.end_run(fix.run_id, fix.status, fix.tags, fix.ended)
        case AddPoints():
            reader.add_points(fix.run_id, fix.points)
        case MoveAlias():
            reader.set_alias(fix.model, fix.alias, fix.version)
        case RemoveFile():
            fix.path.unlink(missing_ok=True)
        case TruncateJournal() | UpdateLocations():
            pass  # done already


def _send_outbox(
    workspace: Workspace, name: str, uri: str, reader: RawReader, snapshot: Snapshot
) -> None:
    """Send the outbox, to a deleted experiment too; move away what the store can never take."""
    outbox = workspace.open_outbox(name, uri)
    try:
        outbox.send(refuse_lost_study=True)
    except (StoreError, StudyError):
        if outbox.refused is not None and not outbox.waiting:
            return
        uid = snapshot.journal.uid if snapshot.journal else ""
        study = reader.read_study(name, uid, name)
        if study is None or not study.deleted:
            raise
        reader.restore_study(study.experiment_id)
        workspace.open_outbox(name, uri).send(refuse_lost_study=True)


def _close_stale(workspace: Workspace, name: str, uri: str, snapshot: Snapshot) -> None:
    """Close stale trials as the next driver would: as the outbox has them, else as interrupted."""
    journal = snapshot.journal
    assert journal is not None
    search = reopen_search(journal.config, workspace.study_storage(uri), name, journal.uid)
    if snapshot.outbox is not None:
        with workspace.open_outbox(name, uri) as outbox:
            recover_trials(search, outbox)
            outbox.flush()
            outbox.ended_cleanly = search.has_ended_all
        return
    for number in list(search.stale):  # its run follows in the next round
        search.tell_interrupted(number, search.requeue(number, DIED, blamed=False))


def _recreate_run(reader: RawReader, snapshot: Snapshot, number: int) -> None:
    """Create a lost run again from the journal, which holds one curve of it."""
    from harness.tracking.mlflow.naming import format_param

    journal, study = snapshot.journal, snapshot.study
    assert journal is not None
    assert study is not None
    trial = journal.trials[number]
    spec, objective = journal.get_spec(trial), journal.config.study.objective
    status, tags, ended = build_expected_run(snapshot, trial)
    started = int(trial.datetime_start.timestamp() * 1000) if trial.datetime_start else 0
    when = ended or started
    run_id = reader.create_run(
        study.experiment_id,
        f"{number:03d} · {spec.describe()}",
        tags
        | {
            "harness.uid": journal.trial_uid(number),
            "harness.spec": json.dumps(spec.to_dict()),
            "harness.state": "RUNNING",
            REBUILT_TAG: "from the journal",
        },
        {name: format_param(value) for name, value in spec.to_dict().items()},
        started,
    )
    reported = sorted(trial.intermediate_values.items())
    points = [Point(objective, step, value, when) for step, value in reported]
    if reported and journal.get_state(trial) in ("COMPLETE", "PRUNED"):
        sign = -get_sort_sign(objective)
        best, value = max(reported, key=lambda entry: (sign * entry[1], -entry[0]))
        points.append(Point(f"best/{objective.replace('/', '_')}", 0, value, when))
        points.append(Point("best/epoch", 0, best, when))
        task = journal.config.data.task
        known = EpochMetrics.__dataclass_fields__.keys() - list_unmeasured_fields(task, objective)
        unknown = dict.fromkeys(known, math.nan) | {"seconds": 0.0, "folds": None}
        name = objective.replace("/", "_")
        epochs = [
            EpochMetrics(**unknown | {"epoch": step, name: figure, "time": when / 1000})  # type: ignore[arg-type]
            for step, figure in reported
        ]
        document = build_trial_document(spec, epochs, "", None) | {"best_epoch": best}
        if (score := get_score_metric(objective)) is not None:
            document["score_metric"] = score
        reader.write_file(run_id, DOCUMENT_FILE, json.dumps(document).encode())
    reader.add_points(run_id, points)
    reader.end_run(run_id, status, tags, ended)
