"""Invariant 5: a trial's settings agree in the journal, its run, trial.json and its weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise

from harness.checks.findings import Finding, UpdateRun
from harness.checks.snapshot import Snapshot
from harness.config.schema import fill_defaults
from harness.models.fold_weights import split_folds
from harness.models.target_transform import STATISTIC_SHAPES
from harness.tracking.raw_types import FINAL_WEIGHTS_FILE, WEIGHTS_FILE, RawRun
from harness.trial import TrialSpec

RESTORE_FILE = "restore the file from a backup"
PARAMS_IMMUTABLE = "MLflow cannot change a param; the tag harness.spec and trial.json are right"


def check_settings(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 5 for the settings of each trial."""
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
        yield Finding(5, location, f"trial.json: {differs}", remedy=RESTORE_FILE)
    for name, folds in ((WEIGHTS_FILE, _count_folds(snapshot)), (FINAL_WEIGHTS_FILE, 0)):
        held = run.files.get(name)
        if held is None or not held.sha256:
            continue
        if held.shapes is None:
            problem = f"{name} is not a safetensors file"
            yield Finding(5, location, problem, remedy=RESTORE_FILE)
        elif differs := _check_networks(held.shapes, folds, spec, *_get_output_size(snapshot)):
            yield Finding(5, location, f"{name}: {differs}", remedy=RESTORE_FILE)


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


def _count_folds(snapshot: Snapshot) -> int:
    """Return the number of folds of the study, each with a network of its own in WEIGHTS_FILE."""
    return snapshot.journal.config.data.folds if snapshot.journal else 0


def _check_networks(
    shapes: Mapping[str, tuple[int, ...]], folds: int, spec: TrialSpec, classes: int, numbers: bool
) -> str:
    """Describe what is wrong with the shapes in a file, of one network or of one for each fold."""
    networks = split_folds(shapes)
    if len(networks) != folds:
        return f"it has the networks of {len(networks)} folds, the study has {folds}"
    for number, each in enumerate(networks, 1):
        if differs := _find_shape_mismatch(each, spec, classes, numbers):
            return f"fold {number}: {differs}"
    return "" if folds else _find_shape_mismatch(shapes, spec, classes, numbers)


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
        wanted |= STATISTIC_SHAPES[spec.target_transform]
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
