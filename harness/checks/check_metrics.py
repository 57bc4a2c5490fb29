"""Invariant 2: every curve has one point for each evaluated epoch."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from harness.checks.findings import AddPoints, Finding
from harness.checks.snapshot import Snapshot
from harness.metrics import list_unmeasured_fields
from harness.results import EpochMetrics
from harness.tracking.raw_types import REBUILT_TAG, Point, RawRun

MAX_MLFLOW_VALUE = 1.7976931348623157e308
"""What MLflow stores for infinity."""


def check_curves(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 2 for the trials of a study."""
    journal = snapshot.journal
    if journal is None or not journal.is_started:
        return
    for number, run in snapshot.runs.items():
        trial = journal.trials[number]
        state, location = journal.get_state(trial), f"trial {number}"
        if state in ("RUNNING", None):
            continue
        reported = sorted(trial.intermediate_values)
        if REBUILT_TAG in run.tags:
            continue  # its other curves are lost, and a tag on the run says so
        document = snapshot.documents.get(number)
        if document is None:
            config = journal.config
            unmeasured = list_unmeasured_fields(config.data.task, config.study.objective)
            # With a quantile loss the training examples' squared errors are not summed.
            unmeasured |= (
                set() if any(p.key == "train/rmse" for p in run.points) else {"train_rmse"}
            )
            keys = _list_curve_keys(unmeasured)
            yield from _compare_steps(location, run, keys, reported, state == "INTERRUPTED")
            continue
        epochs: Sequence[EpochMetrics] = document["epochs"]
        steps = [epoch.epoch for epoch in epochs]
        if state in ("COMPLETE", "PRUNED"):
            if steps != reported:
                recorded = _format_steps(reported)
                problem = f"trial.json has epochs {_format_steps(steps)}, the journal {recorded}"
                yield Finding(2, location, problem)
            if (gaps := _find_missing_epochs(snapshot, number, steps)) is not None:
                yield Finding(
                    2, location, f"was evaluated at epochs {_format_steps(steps)}, not {gaps}"
                )
        yield from compare_with_document(location, run, epochs, state == "INTERRUPTED")


def build_expected_points(epochs: Sequence[EpochMetrics]) -> list[Point]:
    """Build the metric points that a trial with these epochs should have."""
    from harness.tracking.mlflow.naming import curve_metrics

    return [
        Point(key, epoch.epoch, value, int(epoch.time * 1000))
        for epoch in epochs
        for key, value in curve_metrics(epoch).items()
    ]


def _find_missing_epochs(snapshot: Snapshot, number: int, steps: Sequence[int]) -> str | None:
    """Format the epochs that the settings ask to evaluate; None where `steps` are just those."""
    assert snapshot.journal is not None
    trial = snapshot.journal.trials[number]
    try:
        spec = snapshot.journal.get_spec(trial)
    except (ValueError, KeyError, TypeError):
        return None  # reported under invariant 5
    last = max(steps, default=0)
    if snapshot.journal.get_state(trial) == "COMPLETE" and not spec.patience:
        last = spec.epochs
    wanted = [epoch for epoch in range(1, last + 1) if spec.is_evaluated(epoch)]
    return None if wanted == list(steps) else _format_steps(wanted)


def compare_with_document(
    location: str, run: RawRun, epochs: Sequence[EpochMetrics], interrupted: bool
) -> Iterator[Finding]:
    """Compare a run's points with its trial.json.

    An interrupted run may have one more epoch, since points are written first.
    """
    by_place: dict[tuple[str, int], list[Point]] = {}
    for point in run.points:
        by_place.setdefault((point.key, point.step), []).append(point)
    wanted = build_expected_points(epochs)
    keys = list(dict.fromkeys([*_list_curve_keys(), *(point.key for point in wanted)]))
    last = max((epoch.epoch for epoch in epochs), default=0)
    later = {step for key, step in by_place if key in keys and step > last}
    more = later if interrupted and len(later) == 1 else set[int]()
    lacking = [point for point in wanted if (point.key, point.step) not in by_place]
    for key in keys:
        steps = [point.step for point in lacking if point.key == key]
        if steps:
            fix = AddPoints(run.run_id, tuple(each for each in lacking if each.key == key))
            yield Finding(2, location, f"{key} lacks {_format_epochs(steps)}", fix)
    places = {(point.key, point.step): point for point in wanted}
    for (key, step), points in by_place.items():
        if key not in keys:
            continue
        if len(points) > 1:
            yield _report_duplicate(location, key, step, run)
        elif step in more:
            continue
        elif (key, step) not in places:
            yield Finding(
                2,
                location,
                f"{key} has a point at {_format_epochs([step])}, which was not evaluated",
            )
        elif not _is_same_value(points[0].value, places[key, step].value):
            problem = f"{key} is {points[0].value:g} at {_format_epochs([step])}, trial.json has "
            yield Finding(2, location, f"{problem}{places[key, step].value:g}", remedy=_APPEND_ONLY)


def _compare_steps(
    location: str,
    run: RawRun,
    keys: Sequence[str],
    reported: Sequence[int],
    interrupted: bool,
) -> Iterator[Finding]:
    """Compare a run's points with the journal, for a run without trial.json.

    An attempt whose driver died may lack its last points, or have one more epoch than the journal:
    points are written first.
    """
    steps = {key: [point.step for point in run.points if point.key == key] for key in keys}
    longest = max((sorted(set(have)) for have in steps.values()), key=len)
    wanted = list(reported)
    if interrupted:
        shorter = min(len(longest), len(reported))
        if longest[:shorter] == wanted[:shorter] and len(longest) <= len(reported) + 1:
            wanted = longest
    for key, have in steps.items():
        for step in sorted({step for step in have if have.count(step) > 1}):
            yield _report_duplicate(location, key, step, run)
        if lacking := [step for step in wanted if step not in have]:
            remedy = "its trial.json is missing too, so the values are lost"
            yield Finding(2, location, f"{key} lacks {_format_epochs(lacking)}", remedy=remedy)
        if more := sorted(set(have) - set(wanted)):
            yield Finding(
                2, location, f"{key} has {_format_epochs(more)}, which the journal does not have"
            )


def _list_curve_keys(unmeasured: Collection[str] = ()) -> list[str]:
    """List the metric names of all curves except those of the given fields."""
    from harness.tracking.mlflow.naming import curve_metrics

    known = EpochMetrics.__dataclass_fields__.keys() - set(unmeasured)
    return list(curve_metrics(EpochMetrics(**dict.fromkeys(known, 0))))


_APPEND_ONLY = "MLflow cannot delete points; reports use the curve in trial.json, which is right"


def _report_duplicate(location: str, key: str, step: int, run: RawRun) -> Finding:
    values = [point.value for point in run.points if (point.key, point.step) == (key, step)]
    text = " and ".join(f"{value:g}" for value in values)
    return Finding(
        2, location, f"{key} has {_format_epochs([step])} twice ({text})", remedy=_APPEND_ONLY
    )


def _is_same_value(one: float, other: float) -> bool:
    bounded = max(-MAX_MLFLOW_VALUE, min(MAX_MLFLOW_VALUE, other))
    return one == bounded or (math.isnan(one) and math.isnan(other))


def _format_epochs(steps: Sequence[int]) -> str:
    return f"epoch{'s' if len(steps) > 1 else ''} {_format_steps(steps)}"


def _format_steps(steps: Sequence[int]) -> str:
    """Format epochs as `1, 2, 4`; long lists are shortened."""
    texts = [str(step) for step in steps]
    return ", ".join(texts if len(texts) <= 8 else [*texts[:6], "...", texts[-1]]) or "none"
