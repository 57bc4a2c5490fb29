"""Invariant 5: settings agree everywhere, and the reported champion is the recomputed one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import cast

from harness.analysis.confirmation import find_champion, find_model_run
from harness.config.schema import fill_defaults
from harness.doctor.check_trial_counts import build_latest_point
from harness.doctor.findings import AddPoints, Finding, MoveAlias, UpdateRun, format_metric
from harness.doctor.snapshot import Snapshot
from harness.metrics import is_higher_better, read_score
from harness.models import export
from harness.sweep.driver import DEFAULT_KEEP
from harness.tracking.raw_types import REBUILT_TAG, WEIGHTS_FILE, RawRun
from harness.tracking.types import CONFIRM_FACT, UNCONFIRMED, RunRecord, State, StudyRun
from harness.trial import TrialSpec

PARAMS_IMMUTABLE = "MLflow cannot change a param; the tag harness.spec and trial.json are right"


def check_settings(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 5 for the trials of a study and for its champion."""
    journal = snapshot.journal
    if journal is None or not journal.is_started:
        return
    for trial in journal.trials:
        location, run = f"trial {trial.number}", snapshot.runs.get(trial.number)
        if journal.get_state(trial) is None or run is None:
            continue
        try:
            spec = journal.get_spec(trial)
        except (ValueError, KeyError, TypeError) as error:
            yield Finding(5, location, f"the journal's settings are invalid: {error}")
            continue
        yield from _check_run_settings(snapshot, trial.number, spec, run)
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
        metrics = {name: known[name] for name in known if name.startswith("best/")}
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
        facts={CONFIRM_FACT: snapshot.study_run.tags.get(f"harness.{CONFIRM_FACT}", UNCONFIRMED)}
        if snapshot.study_run
        else {},
        classes=(),
        definition=journal.attrs["definition"],
        readings=snapshot.readings or (),
        started=0.0,
        ended=None,
        trials=tuple(runs),
        confirmation_runs=_build_confirmation_runs(snapshot),
    )


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
            )
        )
    return tuple(records)


def compute_champion(snapshot: Snapshot) -> RunRecord | None:
    """Return the recomputed champion; None where there is none or settings cannot be read."""
    try:
        return find_champion(build_study_run(snapshot))
    except (ValueError, KeyError, TypeError):
        return None


def _check_run_settings(
    snapshot: Snapshot, number: int, spec: TrialSpec, run: RawRun
) -> Iterator[Finding]:
    from harness.tracking.mlflow.naming import format_param

    location = f"trial {number}"
    wanted = {name: format_param(value) for name, value in spec.to_dict().items()}
    # A run recorded before a field existed lacks its param, and was trained with the default.
    defaults = {name: format_param(value) for name, value in fill_defaults("train", {}).items()}
    recorded = defaults | dict(run.params)
    for name in sorted(wanted):
        if recorded.get(name) != wanted[name]:
            problem = f"its run's param {name} is {run.params.get(name, 'missing')}, "
            problem += f"the journal's {wanted[name]}"
            yield Finding(5, location, problem, remedy=PARAMS_IMMUTABLE)
    try:
        tagged = TrialSpec.from_dict(json.loads(run.tags.get("harness.spec", "")))
    except (ValueError, TypeError, AttributeError):
        tagged = None
    if tagged != spec:
        fix = UpdateRun(run.run_id, None, {"harness.spec": json.dumps(spec.to_dict())})
        differs = _describe_differences(tagged, spec) or "cannot be read"
        yield Finding(5, location, f"its run's tag harness.spec: {differs}", fix)
    document = snapshot.documents.get(number)
    if document is not None and (differs := _compare_document(document["spec"], spec)):
        yield Finding(
            5, location, f"trial.json: {differs}", remedy="restore the file from a backup"
        )
    held = run.files.get(WEIGHTS_FILE)
    if held is not None and held.sha256:
        if held.shapes is None:
            remedy = "restore the file from a backup"
            yield Finding(5, location, f"{WEIGHTS_FILE} is not a safetensors file", remedy=remedy)
        elif differs := _find_shape_mismatch(held.shapes, spec, *_get_output_size(snapshot)):
            yield Finding(
                5, location, f"{WEIGHTS_FILE}: {differs}", remedy="restore the file from a backup"
            )


def _describe_differences(recorded: TrialSpec | None, spec: TrialSpec) -> str:
    if recorded is None:
        return ""
    before, now = recorded.to_dict(), spec.to_dict()
    parts = [f"{name} is {before[name]}" for name in now if before[name] != now[name]]
    return ", ".join(parts) + f", the journal has {', '.join(_list_changed_values(before, now))}"


def _list_changed_values(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [str(now[name]) for name in now if before[name] != now[name]]


def _compare_document(recorded: Mapping[str, object], spec: TrialSpec) -> str:
    try:
        read = TrialSpec.from_dict(dict(recorded))
    except (ValueError, TypeError):
        return "its settings cannot be read"
    return "" if read == spec else _describe_differences(read, spec)


def _get_output_size(snapshot: Snapshot) -> tuple[int, bool]:
    """Return the number of outputs (0 where unknown), and whether it is a regression."""
    if snapshot.journal and snapshot.journal.config.data.task == "regression":
        return 1, True
    try:
        recorded = (snapshot.study_run and snapshot.study_run.tags["harness.classes"]) or ""
        return len(json.loads(recorded)), False
    except (ValueError, KeyError):
        return 0, False


def _find_shape_mismatch(
    shapes: Mapping[str, tuple[int, ...]], spec: TrialSpec, classes: int, numbers: bool
) -> str:
    """Describe the first tensor whose shape is not that of `models.mlp.MLP` with these settings.

    A custom model's tensors are not checked: that would mean running its code.
    """
    if spec.model:
        return ""
    inputs = shapes.get("mean", (0,))
    wanted: dict[str, tuple[int, ...]] = {"mean": inputs, "inv_std": inputs}
    if numbers:
        wanted |= {"target_mean": (), "target_std": ()}
    outputs = classes or shapes.get(f"linears.{len(spec.hidden)}.weight", (0,))[0]
    widths = (*inputs, *spec.hidden, outputs)
    for layer, ((fan_in, fan_out), bias) in enumerate(
        zip(pairwise(widths), spec.layer_biases, strict=True)
    ):
        wanted[f"linears.{layer}.weight"] = (fan_out, fan_in)
        if bias:
            wanted[f"linears.{layer}.bias"] = (fan_out,)
    for layer, width in enumerate(spec.hidden if spec.batch_norm != "none" else ()):
        for part in ("weight", "bias", "running_mean", "running_var"):
            wanted[f"norms.{layer}.{part}"] = (width,)
        wanted[f"norms.{layer}.num_batches_tracked"] = ()
    for name in sorted(wanted.keys() | shapes.keys()):
        actual, expected = shapes.get(name), wanted.get(name)
        if actual != expected:
            return f"{name} is {_format_shape(actual)}, the settings give {_format_shape(expected)}"
    return ""


def _format_shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else f"[{', '.join(map(str, shape))}]"


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
        if best is not None and best.objective(objective) == value:
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
    for name in ("accuracy", "loss", "rmse", "mae", "r2"):
        key = f"best/val_{name}"
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
        alias = MoveAlias(snapshot.journal.study_name, version.version)
        yield Finding(5, "the model", f"{problem}{version.version}", alias)
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
    return [run.number for run in (best if study.is_grid_or_list else best[:DEFAULT_KEEP])]


def get_study_command(snapshot: Snapshot) -> str:
    """Return the command that runs the study."""
    tags = snapshot.study_run.tags if snapshot.study_run else {}
    assert snapshot.journal is not None
    return tags.get("harness.command", f"harness run-study {snapshot.journal.study_name}")
