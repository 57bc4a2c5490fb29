"""Invariants 1, 2, 3 and 5 for confirmation runs, which only the tracking store has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.checks.check_metrics import compare_with_document
from harness.checks.check_runs import STATUS
from harness.checks.findings import DIED, DeleteRun, Finding, RestoreRun, UpdateRun
from harness.checks.snapshot import Snapshot
from harness.errors import StoreError
from harness.tracking.epoch_predictions import EPOCH_PREDICTIONS_FILE, EpochPredictions
from harness.tracking.raw_types import RawRun
from harness.tracking.types import (
    CONFIRM_FACT,
    CONFIRM_INFIX,
    SPLIT_TAG,
    UNCONFIRMED,
    parse_split,
)
from harness.trial import TrialSpec


def check_one_run_per_uid(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 1: each uid has one run, whose status and state agree."""
    yield from _check_deleted(snapshot)
    for uid, runs in snapshot.confirmation_runs.items():
        kept_run = _pick_most_complete(runs)
        for run in runs:
            if run is not kept_run:
                problem = f"it has run {run.run_id} beside {kept_run.run_id}"
                yield Finding(1, _format_uid(uid), problem, DeleteRun(run.run_id))
        if _running(kept_run):
            continue  # reported under invariant 3
        status = next((STATUS[state] for state in STATUS if state == kept_run.state), None)
        if status is None or kept_run.status != status:
            state = kept_run.state or "missing"
            problem = f"its run is {kept_run.status} in MLflow, and its state is {state}"
            tags = {} if status else {"harness.state": "INTERRUPTED"}
            yield Finding(
                1, _format_uid(uid), problem, UpdateRun(kept_run.run_id, status or "KILLED", tags)
            )
        if kept_run.state == "FAILED" and not kept_run.tags.get("harness.reason"):
            yield Finding(1, _format_uid(uid), "it failed without a recorded reason")


def _check_deleted(snapshot: Snapshot) -> Iterator[Finding]:
    """Find the confirmation runs that were deleted in MLflow."""
    journal, study = snapshot.journal, snapshot.study
    if study is None or journal is None or not journal.is_started:
        return
    prefix = f"{journal.uid}{CONFIRM_INFIX}"
    for uid in dict.fromkeys(run.uid for run in study.runs if run.uid.startswith(prefix)):
        deleted = study.find_runs(uid, deleted=True)
        if deleted and not study.find_runs(uid):
            run = _pick_most_complete(deleted)
            problem = f"its run {run.run_id} was deleted"
            yield Finding(1, _format_uid(uid), problem, RestoreRun(run.run_id))


def check_curves(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 2: the points are those of trial.json, where there is one."""
    for uid, runs in snapshot.confirmation_runs.items():
        run = _pick_most_complete(runs)
        document = snapshot.read_document(run)
        if document is not None and not _running(run):
            interrupted = run.state == "INTERRUPTED"
            yield from compare_with_document(_format_uid(uid), run, document["epochs"], interrupted)
        elif run.state == "COMPLETE":
            yield Finding(2, _format_uid(uid), "it is complete, but its trial.json cannot be read")


def check_nothing_running(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 3: no confirmation run is left running."""
    for uid, runs in snapshot.confirmation_runs.items():
        for run in runs:
            if _running(run):
                tags = {"harness.state": "INTERRUPTED", "harness.reason": DIED}
                fix = UpdateRun(run.run_id, "KILLED", tags)
                yield Finding(3, _format_uid(uid), f"its run {run.run_id} is RUNNING", fix)


def check_any_complete(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 5: of the runs that should confirm the champion, one or more is complete."""
    tags = snapshot.study_run.tags if snapshot.study_run else {}
    if not snapshot.is_finished or tags.get(f"harness.{CONFIRM_FACT}", UNCONFIRMED) == UNCONFIRMED:
        return
    runs = [_pick_most_complete(each) for each in snapshot.confirmation_runs.values()]
    failed = [run for run in runs if run.state == "FAILED"]
    if failed and not any(run.state == "COMPLETE" for run in runs):
        reason = failed[-1].tags.get("harness.reason", "")
        because = f" (the last: {reason})" if reason else ""
        yield Finding(
            5,
            "the confirmation",
            f"all of its runs failed{because}, so the champion's score is not corrected",
            remedy="rerun the study to train them again, or with --no-confirm to accept this",
        )


def check_settings(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 5: a confirmation run has its trial's settings and another seed.

    On a new split it also has its predictions after every epoch.
    """
    journal = snapshot.journal
    for uid, runs in snapshot.confirmation_runs.items() if journal else ():
        assert journal is not None
        number = int(runs[0].tags.get("harness.number", -1))
        if not 0 <= number < len(journal.trials):
            yield Finding(
                5, _format_uid(uid), f"confirms trial {number}, which the journal does not have"
            )
            continue
        try:
            trial = journal.get_spec(journal.trials[number])
            spec = TrialSpec.from_dict(json.loads(runs[0].tags.get("harness.spec", "")))
        except (ValueError, KeyError, TypeError, AttributeError):
            yield Finding(5, _format_uid(uid), "its settings cannot be read")
            continue
        if replace(spec, seed=trial.seed) != trial or spec.seed == trial.seed:
            yield Finding(
                5, _format_uid(uid), f"does not have the settings of trial {number} with a new seed"
            )
        yield from _check_split(uid, _pick_most_complete(runs))


def _check_split(uid: str, run: RawRun) -> Iterator[Finding]:
    """Check the file of a run on a new split, from which its score is corrected."""
    try:
        split = parse_split(run.tags)
    except ValueError:
        yield Finding(5, _format_uid(uid), f"its tag {SPLIT_TAG} is not a number")
        return
    if not split or run.state != "COMPLETE":
        return
    content = run.file_content(EPOCH_PREDICTIONS_FILE)
    problem = f"it has no {EPOCH_PREDICTIONS_FILE}, so the champion's score cannot be corrected"
    if content:
        try:
            EpochPredictions.from_bytes(content)
            return
        except StoreError as error:
            problem = str(error).partition(";")[0]
    yield Finding(5, _format_uid(uid), problem)


def _pick_most_complete(runs: Sequence[RawRun]) -> RawRun:
    """Return the run to keep of several with one uid."""
    return max(runs, key=lambda run: (len(run.files), len(run.points), -run.started))


def _format_uid(uid: str) -> str:
    """Format a uid as `confirm 31.2`: the trial and the seed."""
    return uid.partition("/")[2].replace("/", " ")


def _running(run: RawRun) -> bool:
    return run.status in ("RUNNING", "SCHEDULED") or run.state == "RUNNING"
