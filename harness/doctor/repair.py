"""Mend what can be mended, under the study's lock."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace

import optuna

from harness.doctor.check_runs import expected_run
from harness.doctor.findings import (
    DIED,
    AddPoints,
    CloseStale,
    Delete,
    Finding,
    Mend,
    MendJournal,
    PointChampion,
    Remake,
    Remove,
    Restore,
    RestoreStudy,
    Send,
    SetRun,
)
from harness.doctor.registry import check
from harness.doctor.snapshot import Snapshot, gather
from harness.errors import HarnessError
from harness.metrics import UNMEASURED, sign_of
from harness.results import EpochMetrics
from harness.search.study import Search
from harness.sweep.recovery import recover
from harness.tracking.raw_types import DOCUMENT, REMADE, Point, RawReader
from harness.tracking.types import trial_document
from harness.workspace import Workspace, private

ROUNDS = 6
"""One mend uncovers the next: a run that is restored may be in the wrong state."""
FIRST = (Send, RestoreStudy, Restore, Delete, CloseStale, Remake)
"""What others wait for."""


@dataclass
class Repair:
    """What was mended, and what could not be although it was tried."""

    mended: list[Finding] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def repair(
    home: Workspace, name: str, uri: str, auditor: RawReader, before: list[Finding]
) -> Repair:
    """Mend study `name`, whose breaches are `before`. Raises StudyError where it is driven,
    StoreError where its journal is damaged before its end."""
    done = Repair()
    place = home.place(uri)
    with private(), place.locked(name):
        # Taking the lock removes what a dead driver left beside the journal, and mends its end.
        by_lock = (MendJournal, Remove)
        done.mended += [each for each in before if isinstance(each.mend, by_lock)]
        tried: set[str] = set()
        for _ in range(ROUNDS):
            evidence = replace(gather(home, name, uri, auditor, ""), left={})
            todo = [each for each in check(evidence) if each.mend and str(each) not in tried]
            if not todo:
                break
            todo.sort(key=lambda each: not isinstance(each.mend, FIRST))
            mends: set[str] = set()
            urgent = isinstance(todo[0].mend, FIRST)
            for finding in todo:
                assert finding.mend is not None
                if urgent and not isinstance(finding.mend, FIRST):
                    break  # those are looked at again in the next round
                tried.add(str(finding))
                try:
                    if repr(finding.mend) not in mends:
                        _apply(home, name, uri, auditor, evidence, finding.mend)
                    mends.add(repr(finding.mend))
                    done.mended.append(finding)
                except HarnessError as error:
                    done.failed.append(f"{finding.where}: {error}")
    return done


def _apply(
    home: Workspace, name: str, uri: str, auditor: RawReader, evidence: Snapshot, mend: Mend
) -> None:
    match mend:
        case Send():
            home.open_spool(name, uri).send()
        case RestoreStudy():
            auditor.restore_study(mend.experiment_id)
        case Restore():
            auditor.restore(mend.run_id)
        case Delete():
            auditor.delete(mend.run_id)
        case CloseStale():
            _close_stale(home, name, uri, evidence)
        case Remake():
            _remake(auditor, evidence, mend.number)
        case SetRun():
            auditor.end(mend.run_id, mend.status, mend.tags, mend.ended)
        case AddPoints():
            auditor.add_points(mend.run_id, mend.points)
        case PointChampion():
            auditor.set_champion(mend.model, mend.version)
        case Remove():
            mend.path.unlink(missing_ok=True)
        case MendJournal():
            pass  # the lock did


def _close_stale(home: Workspace, name: str, uri: str, evidence: Snapshot) -> None:
    """As the next driver would: what stands in the spool has happened, the rest is tried again."""
    journal = evidence.journal
    assert journal is not None
    storage = home.place(uri).storage(name)
    # In a journal the study keeps its name when the file is put aside.
    (summary,) = [s for s in storage.get_all_studies() if s.user_attrs.get("uid") == journal.uid]
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    search = Search(journal.config, study)
    if evidence.spool is not None:
        with home.open_spool(name, uri) as spool:
            recover(search, spool)
            spool.flush()
            spool.in_order = search.settled
        return
    for number in list(search.stale):  # its run follows in the next round
        search.tell_interrupted(number, search.requeue(number, DIED, blamed=False))


def _remake(auditor: RawReader, evidence: Snapshot, number: int) -> None:
    """A run that was lost for good, with what the journal holds: all but most of its curves."""
    from harness.tracking.mlflow.naming import shown

    journal, study = evidence.journal, evidence.study
    assert journal is not None
    assert study is not None
    trial = journal.trials[number]
    spec, objective = journal.spec(trial), journal.config.study.objective
    status, tags, ended = expected_run(evidence, trial)
    started = int(trial.datetime_start.timestamp() * 1000) if trial.datetime_start else 0
    when = ended or started
    run_id = auditor.create(
        study.experiment_id,
        f"{number:03d} · {spec.describe()}",
        tags
        | {
            "harness.uid": journal.trial_uid(number),
            "harness.spec": json.dumps(spec.to_dict()),
            "harness.state": "RUNNING",
            REMADE: "from the journal",
        },
        {name: shown(value) for name, value in spec.to_dict().items()},
        started,
    )
    reported = sorted(trial.intermediate_values.items())
    points = [Point(objective, step, value, when) for step, value in reported]
    if reported and journal.state(trial) in ("COMPLETE", "PRUNED"):
        sign = -sign_of(objective)
        best, value = max(reported, key=lambda entry: (sign * entry[1], -entry[0]))
        points.append(Point(f"best/{objective.replace('/', '_')}", 0, value, when))
        points.append(Point("best/epoch", 0, best, when))
        task = journal.config.data.task
        known = EpochMetrics.__dataclass_fields__.keys() - UNMEASURED[task]
        unknown = dict.fromkeys(known, math.nan) | {"seconds": 0.0}
        name = objective.replace("/", "_")
        epochs = [
            EpochMetrics(**unknown | {"epoch": step, name: figure, "time": when / 1000})  # type: ignore[arg-type]
            for step, figure in reported
        ]
        document = trial_document(spec, epochs, "", None) | {"best_epoch": best}
        auditor.put_file(run_id, DOCUMENT, json.dumps(document).encode())
    auditor.add_points(run_id, points)
    auditor.end(run_id, status, tags, ended)
