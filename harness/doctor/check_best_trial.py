"""Invariant 5: settings are the same wherever they stand, the reported best is the recomputed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import cast

from harness.analysis.confirmation import champion_of, kept_of
from harness.doctor.check_trial_counts import latest
from harness.doctor.findings import AddPoints, Finding, PointChampion, SetRun
from harness.doctor.snapshot import Snapshot
from harness.metrics import higher_is_better, score_of
from harness.models import export
from harness.sweep.driver import KEPT
from harness.tracking.raw_types import REMADE, WEIGHTS, RawRun
from harness.tracking.types import CONFIRM, UNCONFIRMED, RunRecord, State, StudyRun
from harness.trial import TrialSpec

UNSEEN = "MLflow lets no param be changed; the tag harness.spec and trial.json are right"


def settings_agree(evidence: Snapshot) -> Iterator[Finding]:
    """Invariant 5."""
    journal = evidence.journal
    if journal is None or not journal.begun:
        return
    for trial in journal.trials:
        where, run = f"trial {trial.number}", evidence.runs.get(trial.number)
        if journal.state(trial) is None or run is None:
            continue
        try:
            spec = journal.spec(trial)
        except (ValueError, KeyError, TypeError) as error:
            yield Finding(5, where, f"the journal's settings cannot be trained: {error}")
            continue
        yield from _settings(evidence, trial.number, spec, run)
        yield from _best_of(evidence, trial.number)
    yield from _reported(evidence)


def as_study(evidence: Snapshot) -> StudyRun:
    """The study as reports know it, its objective from the journal and not from the store."""
    assert evidence.journal is not None
    journal, runs = evidence.journal, []
    objective = journal.config.study.objective
    for trial in journal.trials:
        state = journal.state(trial)
        if state is None:
            continue
        run = evidence.runs.get(trial.number)
        known = run.metrics if run else {}
        metrics = {name: known[name] for name in known if name.startswith("best/")}
        value = journal.value(trial)
        if value is not None:
            metrics[f"best/{objective.replace('/', '_')}"] = value
            metrics.setdefault(f"best/{score_of(journal.attrs['definition']).key}", value)
        runs.append(
            RunRecord(
                uid=journal.trial_uid(trial.number),
                run_id=run.run_id if run else "",
                number=trial.number,
                state=state,
                spec=journal.spec(trial),
                metrics=metrics,
            )
        )
    return StudyRun(
        name=evidence.name,
        uid=journal.uid,
        run_id=evidence.parent.run_id if evidence.parent else "",
        experiment_id=evidence.study.experiment_id if evidence.study else "",
        facts={CONFIRM: evidence.parent.tags.get(f"harness.{CONFIRM}", UNCONFIRMED)}
        if evidence.parent
        else {},
        classes=(),
        definition=journal.attrs["definition"],
        readings=evidence.readings or (),
        started=0.0,
        ended=None,
        trials=tuple(runs),
        confirming=_confirming(evidence),
    )


def _confirming(evidence: Snapshot) -> tuple[RunRecord, ...]:
    found = []
    for uid, runs in evidence.confirming.items():
        found.append(
            RunRecord(
                uid=uid,
                run_id=runs[0].run_id,
                number=int(runs[0].tags["harness.number"]),
                state=cast(State, runs[0].state),
                spec=TrialSpec.from_dict(json.loads(runs[0].tags["harness.spec"])),
                metrics={k: v for k, v in runs[0].metrics.items() if k.startswith("best/")},
            )
        )
    return tuple(found)


def champion(evidence: Snapshot) -> RunRecord | None:
    """The recomputed best; None where there is none, or the settings cannot be read."""
    try:
        return champion_of(as_study(evidence))
    except (ValueError, KeyError, TypeError):
        return None


def _settings(evidence: Snapshot, number: int, spec: TrialSpec, run: RawRun) -> Iterator[Finding]:
    from harness.tracking.mlflow.naming import shown

    where = f"trial {number}"
    wanted = {name: shown(value) for name, value in spec.to_dict().items()}
    for name in sorted(wanted.keys() | run.params.keys()):
        if name not in run.params:
            what = f"its run lacks the param {name} = {wanted[name]}"
            yield Finding(5, where, what, remedy=UNSEEN)
        elif name in wanted and run.params[name] != wanted[name]:
            what = f"its run's param {name} is {run.params[name]}, the journal's {wanted[name]}"
            yield Finding(5, where, what, remedy=UNSEEN)
    try:
        tagged = TrialSpec.from_dict(json.loads(run.tags.get("harness.spec", "")))
    except (ValueError, TypeError, AttributeError):
        tagged = None
    if tagged != spec:
        mend = SetRun(run.run_id, None, {"harness.spec": json.dumps(spec.to_dict())})
        differs = _differences(tagged, spec) or "cannot be read"
        yield Finding(5, where, f"its run's tag harness.spec: {differs}", mend)
    document = evidence.documents.get(number)
    if document is not None and (differs := _document_differs(document["spec"], spec)):
        yield Finding(5, where, f"trial.json: {differs}", remedy="restore the file from a copy")
    held = run.files.get(WEIGHTS)
    if held is not None and held.sha256:
        if held.shapes is None:
            remedy = "restore the file from a copy"
            yield Finding(5, where, f"{WEIGHTS} is no safetensors file", remedy=remedy)
        elif differs := _misshapen(held.shapes, spec, *_output(evidence)):
            yield Finding(5, where, f"{WEIGHTS}: {differs}", remedy="restore the file from a copy")


def _differences(told: TrialSpec | None, spec: TrialSpec) -> str:
    if told is None:
        return ""
    before, now = told.to_dict(), spec.to_dict()
    parts = [f"{name} is {before[name]}" for name in now if before[name] != now[name]]
    return ", ".join(parts) + f", the journal has {', '.join(_values(before, now))}"


def _values(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [str(now[name]) for name in now if before[name] != now[name]]


def _document_differs(told: Mapping[str, object], spec: TrialSpec) -> str:
    try:
        read = TrialSpec.from_dict(dict(told))
    except (ValueError, TypeError):
        return "its settings cannot be read"
    return "" if read == spec else _differences(read, spec)


def _output(evidence: Snapshot) -> tuple[int, bool]:
    """Columns of the output, 0 where they are not known; whether they are a regression's."""
    if evidence.journal and evidence.journal.config.data.task == "regression":
        return 1, True
    try:
        told = (evidence.parent and evidence.parent.tags["harness.classes"]) or ""
        return len(json.loads(told)), False
    except (ValueError, KeyError):
        return 0, False


def _misshapen(
    shapes: Mapping[str, tuple[int, ...]], spec: TrialSpec, classes: int, numbers: bool
) -> str:
    """Where the tensors are not those of `models.mlp.MLP` with these settings; what a model of the
    user's own has, only its code knows, which is not run here."""
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
        given, right = shapes.get(name), wanted.get(name)
        if given != right:
            return f"{name} is {_shape(given)}, the settings give {_shape(right)}"
    return ""


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else f"[{', '.join(map(str, shape))}]"


def _best_of(evidence: Snapshot, number: int) -> Iterator[Finding]:
    """A complete trial's best is the same in the journal, among its metrics and in its curve."""
    assert evidence.journal is not None
    journal, run, where = evidence.journal, evidence.runs[number], f"trial {number}"
    value, objective = journal.value(journal.trials[number]), journal.config.study.objective
    if value is None:
        return
    reported = journal.trials[number].intermediate_values.values()
    pick = max if higher_is_better(objective) else min
    if reported and pick(reported) != value:
        what = f"the journal's value is {value:g}, the best it reported {pick(reported):g}"
        yield Finding(5, where, what)
    key = f"best/{objective.replace('/', '_')}"
    if (told := run.metrics.get(key)) != value:
        what = f"its run's {key} is {'missing' if told is None else f'{told:g}'}, not {value:g}"
        document = evidence.documents.get(number)
        best = document["best"] if document else None
        mend = None
        if best is not None and best.objective(objective) == value:
            mend = AddPoints(run.run_id, (latest(run, key, value),))
        yield Finding(5, where, what, mend)
    points = [point.value for point in run.points if point.key == objective]
    if points and pick(points) != value and REMADE not in run.tags:
        what = f"the best of its curve {objective} is {pick(points):g}, not {value:g}"
        yield Finding(5, where, what)


def _reported(evidence: Snapshot) -> Iterator[Finding]:
    """Of a study that went to its end: its run's figures, its model, the alias."""
    best, parent, study = champion(evidence), evidence.parent, evidence.study
    if not evidence.concluded or parent is None or study is None:
        return
    if best is None:
        what = "it went to its end without a complete trial"
        yield Finding(
            5, "the study", what, SetRun(parent.run_id, "FAILED", {"harness.state": "FAILED"})
        )
        return
    for name in ("accuracy", "loss", "rmse", "mae", "r2"):
        key = f"best/val_{name}"
        value, told = best.metrics.get(key), parent.metrics.get(key)
        if value is not None and told != value:
            what = f"its run's {key} is {'missing' if told is None else f'{told:g}'}, "
            mend = AddPoints(parent.run_id, (latest(parent, key, value),), "the best trial")
            yield Finding(5, "the study", f"{what}trial {best.number}'s {value:g}", mend)
    ours = [each for each in study.versions if each.run_id == parent.run_id]
    right = [each for each in ours if each.tags.get("harness.trial") == str(best.number)]
    if not right and export.FILE in parent.files:
        return  # a model of the user's own that cannot be
    if not right:
        what = f"no version of the model '{study.name}' is trial {best.number}, the best"
        remedy = f"go on with its command, one trial more: {again(evidence)}"
        yield Finding(5, "the model", what, remedy=remedy)
        return
    version = max(right, key=lambda each: int(each.version))
    if version.problem:
        what = f"version {version.version} of '{study.name}': {version.problem}"
        yield Finding(5, "the model", what, remedy="restore the files from a copy")
    wrong = [each for each in study.versions if each.champion and each not in right]
    assert evidence.journal is not None
    aside = evidence.name != evidence.journal.study  # the alias is its successor's
    if not aside and not any(each.champion for each in right):
        there = f"version {wrong[0].version}" if wrong else "no version"
        what = f"the alias 'champion' points at {there}, trial {best.number} is version "
        alias = PointChampion(evidence.journal.study, version.version)
        yield Finding(5, "the model", f"{what}{version.version}", alias)
    run = evidence.runs.get(best.number)
    remade = run is not None and REMADE in run.tags
    kept = kept_of(as_study(evidence), best)
    if version.tags.get("harness.trial_run") != kept.run_id and not remade:
        what = (
            f"version {version.version} names another run than the model's of trial {best.number}"
        )
        yield Finding(5, "the model", what)


def kept(evidence: Snapshot) -> list[int]:
    """The trials whose weights stay: the best few, of a grid or list all."""
    try:
        study = as_study(evidence)
    except (ValueError, KeyError, TypeError):
        return []
    best = study.best_first()
    return [run.number for run in (best if study.is_grid_or_list else best[:KEPT])]


def again(evidence: Snapshot) -> str:
    """The command that the study was driven by."""
    tags = evidence.parent.tags if evidence.parent else {}
    assert evidence.journal is not None
    return tags.get("harness.command", f"harness run-study {evidence.journal.study}")
