"""Invariants 1, 2, 3 and 5 of the runs that confirm a search's best trials: the store has them
alone, no journal does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.doctor.check_metrics import as_the_document
from harness.doctor.check_runs import STATUS
from harness.doctor.findings import DIED, Delete, Finding, SetRun
from harness.doctor.snapshot import Snapshot
from harness.tracking.raw_types import RawRun
from harness.trial import TrialSpec


def one_run_each(evidence: Snapshot) -> Iterator[Finding]:
    """Invariant 1: one run of each uid, whose two states agree."""
    for uid, runs in evidence.confirming.items():
        kept = _fullest(runs)
        for run in runs:
            if run is not kept:
                what = f"it has run {run.run_id} beside {kept.run_id}"
                yield Finding(1, _where(uid), what, Delete(run.run_id))
        if _running(kept):
            continue  # told under invariant 3
        status = next((STATUS[state] for state in STATUS if state == kept.state), None)
        if status is None or kept.status != status:
            what = f"its run is {kept.status} in MLflow, and its state {kept.state or 'not told'}"
            tags = {} if status else {"harness.state": "INTERRUPTED"}
            yield Finding(1, _where(uid), what, SetRun(kept.run_id, status or "KILLED", tags))
        if kept.state == "FAILED" and not kept.tags.get("harness.reason"):
            yield Finding(1, _where(uid), "it failed, and nothing on record says why")


def whole_curves(evidence: Snapshot) -> Iterator[Finding]:
    """Invariant 2: the points are those of trial.json, where there is one."""
    for uid, runs in evidence.confirming.items():
        run = _fullest(runs)
        document = evidence.document(run)
        if document is not None and not _running(run):
            interrupted = run.state == "INTERRUPTED"
            yield from as_the_document(_where(uid), run, document["epochs"], interrupted)
        elif run.state == "COMPLETE":
            yield Finding(2, _where(uid), "it is complete, and its trial.json cannot be read")


def nothing_running(evidence: Snapshot) -> Iterator[Finding]:
    """Invariant 3."""
    for uid, runs in evidence.confirming.items():
        for run in runs:
            if _running(run):
                tags = {"harness.state": "INTERRUPTED", "harness.reason": DIED}
                mend = SetRun(run.run_id, "KILLED", tags)
                yield Finding(3, _where(uid), f"its run {run.run_id} is RUNNING", mend)


def settings_agree(evidence: Snapshot) -> Iterator[Finding]:
    """Invariant 5: a confirming run has its trial's settings, and another seed."""
    journal = evidence.journal
    for uid, runs in evidence.confirming.items() if journal else ():
        assert journal is not None
        number = int(runs[0].tags.get("harness.number", -1))
        if not 0 <= number < len(journal.trials):
            yield Finding(5, _where(uid), f"confirms trial {number}, which the journal has not")
            continue
        try:
            trial = journal.spec(journal.trials[number])
            own = TrialSpec.from_dict(json.loads(runs[0].tags.get("harness.spec", "")))
        except (ValueError, KeyError, TypeError, AttributeError):
            yield Finding(5, _where(uid), "its settings cannot be read")
            continue
        if replace(own, seed=trial.seed) != trial or own.seed == trial.seed:
            yield Finding(5, _where(uid), f"has not the settings of trial {number} and a new seed")


def _fullest(runs: Sequence[RawRun]) -> RawRun:
    """Of several with one uid, the one to keep."""
    return max(runs, key=lambda run: (len(run.files), len(run.points), -run.started))


def _where(uid: str) -> str:
    """`confirm 31.2`: the trial and the seed."""
    return uid.partition("/")[2].replace("/", " ")


def _running(run: RawRun) -> bool:
    return run.status in ("RUNNING", "SCHEDULED") or run.state == "RUNNING"
