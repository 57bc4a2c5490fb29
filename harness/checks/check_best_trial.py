"""Invariant 5: the reported champion is the recomputed one, here and in the model registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

from harness.analysis.confirmation import MODELS_KEPT, find_champion, find_model_run
from harness.checks.check_trial_counts import build_latest_point
from harness.checks.findings import AddPoints, Finding, MoveAlias, UpdateRun, format_metric
from harness.checks.snapshot import Snapshot
from harness.metrics import OBJECTIVE_NAMES, is_higher_better, read_score
from harness.models import export
from harness.tracking.raw_types import REBUILT_TAG, RawRun
from harness.tracking.types import (
    CONFIRM_FACT,
    ENSEMBLE_FACT,
    NO_ENSEMBLE,
    UNCONFIRMED,
    RunRecord,
    State,
    StudyRun,
    parse_split,
)
from harness.trial import TrialSpec


def check_best_trial(snapshot: Snapshot) -> Iterator[Finding]:
    """Check that each trial's best value agrees everywhere, and the reported champion."""
    journal = snapshot.journal
    if journal is None or not journal.is_started:
        return
    for trial in journal.trials:
        if journal.get_state(trial) is not None and trial.number in snapshot.runs:
            yield from _check_best_value(snapshot, trial.number)
    yield from _check_reported_best(snapshot)


def build_study_run(snapshot: Snapshot) -> StudyRun:
    """Build the StudyRun that reports use, its objective values from the journal."""
    assert snapshot.journal is not None
    journal, runs = snapshot.journal, []
    objective = journal.config.study.objective
    for trial in journal.trials:
        state = journal.get_state(trial)
        if state is None:
            continue
        run = snapshot.runs.get(trial.number)
        known = run.metrics if run else {}
        metrics = {name: known[name] for name in known if name.startswith(("best/", "cost/"))}
        value = journal.get_value(trial)
        if value is not None:
            metrics[f"best/{objective.replace('/', '_')}"] = value
            metrics.setdefault(f"best/{read_score(journal.attrs['definition']).field_name}", value)
        runs.append(
            RunRecord(
                uid=journal.trial_uid(trial.number),
                run_id=run.run_id if run else "",
                number=trial.number,
                state=state,
                spec=journal.get_spec(trial),
                metrics=metrics,
            )
        )
    return StudyRun(
        name=snapshot.name,
        uid=journal.uid,
        run_id=snapshot.study_run.run_id if snapshot.study_run else "",
        experiment_id=snapshot.study.experiment_id if snapshot.study else "",
        facts=_read_rules(snapshot.study_run) if snapshot.study_run else {},
        classes=(),
        definition=journal.attrs["definition"],
        readings=snapshot.readings or (),
        started=0.0,
        ended=None,
        trials=tuple(runs),
        confirmation_runs=_build_confirmation_runs(snapshot),
    )


def _read_rules(run: RawRun) -> dict[str, str]:
    """Return how the study's choice is made and tested."""
    defaults = {CONFIRM_FACT: UNCONFIRMED, ENSEMBLE_FACT: NO_ENSEMBLE, "splits": "{}"}
    return {name: run.tags.get(f"harness.{name}", default) for name, default in defaults.items()}


def _build_confirmation_runs(snapshot: Snapshot) -> tuple[RunRecord, ...]:
    records = []
    for uid, runs in snapshot.confirmation_runs.items():
        records.append(
            RunRecord(
                uid=uid,
                run_id=runs[0].run_id,
                number=int(runs[0].tags["harness.number"]),
                state=cast(State, runs[0].state),
                spec=TrialSpec.from_dict(json.loads(runs[0].tags["harness.spec"])),
                metrics={k: v for k, v in runs[0].metrics.items() if k.startswith("best/")},
                split=parse_split(runs[0].tags),
            )
        )
    return tuple(records)


def compute_champion(snapshot: Snapshot) -> RunRecord | None:
    """Return the recomputed champion; None where there is none or settings cannot be read."""
    try:
        return find_champion(build_study_run(snapshot))
    except (ValueError, KeyError, TypeError):
        return None


def _check_best_value(snapshot: Snapshot, number: int) -> Iterator[Finding]:
    """Check that a complete trial's best value agrees in the journal, metrics and curve."""
    assert snapshot.journal is not None
    journal, run, location = snapshot.journal, snapshot.runs[number], f"trial {number}"
    value, objective = journal.get_value(journal.trials[number]), journal.config.study.objective
    if value is None:
        return
    reported = journal.trials[number].intermediate_values.values()
    pick = max if is_higher_better(objective) else min
    if reported and pick(reported) != value:
        problem = f"the journal's value is {value:g}, the best it reported {pick(reported):g}"
        yield Finding(5, location, problem)
    key = f"best/{objective.replace('/', '_')}"
    if (recorded := run.metrics.get(key)) != value:
        problem = f"its run's {key} is {format_metric(recorded)}, not {value:g}"
        document = snapshot.documents.get(number)
        best = document["best"] if document else None
        fix = None
        if best is not None and best.get_objective(objective) == value:
            fix = AddPoints(run.run_id, (build_latest_point(run, key, value),))
        yield Finding(5, location, problem, fix)
    points = [point.value for point in run.points if point.key == objective]
    if points and pick(points) != value and REBUILT_TAG not in run.tags:
        problem = f"the best of its curve {objective} is {pick(points):g}, not {value:g}"
        yield Finding(5, location, problem)


def _check_reported_best(snapshot: Snapshot) -> Iterator[Finding]:
    """Check a finished study's metrics, registered model and alias."""
    best, parent, study = compute_champion(snapshot), snapshot.study_run, snapshot.study
    if not snapshot.is_finished or parent is None or study is None:
        return
    if best is None:
        problem = "it finished without a complete trial"
        yield Finding(
            5, "the study", problem, UpdateRun(parent.run_id, "FAILED", {"harness.state": "FAILED"})
        )
        return
    for objective in OBJECTIVE_NAMES:
        key = f"best/{objective.replace('/', '_')}"
        value, recorded = best.metrics.get(key), parent.metrics.get(key)
        if value is not None and recorded != value:
            problem = f"its run's {key} is {format_metric(recorded)}, "
            fix = AddPoints(
                parent.run_id, (build_latest_point(parent, key, value),), "the best trial"
            )
            yield Finding(5, "the study", f"{problem}trial {best.number}'s {value:g}", fix)
    ours = [each for each in study.versions if each.run_id == parent.run_id]
    expected = [each for each in ours if each.tags.get("harness.trial") == str(best.number)]
    if not expected and export.NOT_EXPORTED_FILE in parent.files:
        return  # a custom model that could not be exported
    if not expected:
        problem = f"no version of the model '{study.name}' is trial {best.number}, the best"
        remedy = f"run one more trial with its command: {get_study_command(snapshot)}"
        yield Finding(5, "the model", problem, remedy=remedy)
        return
    version = max(expected, key=lambda each: int(each.version))
    if version.problem:
        problem = f"version {version.version} of '{study.name}': {version.problem}"
        yield Finding(5, "the model", problem, remedy="restore the files from a backup")
    wrong = [each for each in study.versions if each.champion and each not in expected]
    assert snapshot.journal is not None
    renamed = snapshot.name != snapshot.journal.study_name  # the alias is its successor's
    if not renamed and not any(each.champion for each in expected):
        there = f"version {wrong[0].version}" if wrong else "no version"
        problem = f"the alias 'champion' points at {there}, trial {best.number} is version "
        others = {run.run_id for run in study.runs if run.kind == "study"} - {parent.run_id}
        alias = MoveAlias(snapshot.journal.study_name, version.version)
        is_shared = bool(wrong) and wrong[0].run_id in others  # recorded by an earlier version
        remedy = "another study has the same name, and moved the alias"
        yield Finding(
            5, "the model", f"{problem}{version.version}", None if is_shared else alias, remedy
        )
    run = snapshot.runs.get(best.number)
    remade = run is not None and REBUILT_TAG in run.tags
    kept_run = find_model_run(build_study_run(snapshot), best)
    if version.tags.get("harness.trial_run") != kept_run.run_id and not remade:
        problem = (
            f"version {version.version} names another run than the model's of trial {best.number}"
        )
        yield Finding(5, "the model", problem)


def find_trials_with_weights(snapshot: Snapshot) -> list[int]:
    """Return the numbers of trials whose weights are kept: the best, or all of a grid or list."""
    try:
        study = build_study_run(snapshot)
    except (ValueError, KeyError, TypeError):
        return []
    best = study.rank_trials()
    return [run.number for run in (best if study.is_grid_or_list else best[:MODELS_KEPT])]


def get_study_command(snapshot: Snapshot) -> str:
    """Return the command that runs the study."""
    tags = snapshot.study_run.tags if snapshot.study_run else {}
    assert snapshot.journal is not None
    return tags.get("harness.command", f"harness run-study {snapshot.journal.study_name}")
