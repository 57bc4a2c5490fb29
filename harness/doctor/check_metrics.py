"""Invariant 2: one point for each epoch that was evaluated, in every curve."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness.doctor.findings import AddPoints, Finding
from harness.doctor.snapshot import Snapshot
from harness.metrics import UNMEASURED
from harness.results import EpochMetrics
from harness.tracking.raw_types import REMADE, Point, RawRun

MOST = 1.7976931348623157e308
"""What MLflow keeps for infinity."""


def whole_curves(evidence: Snapshot) -> Iterator[Finding]:
    journal = evidence.journal
    if journal is None or not journal.begun:
        return
    for number, run in evidence.runs.items():
        trial = journal.trials[number]
        state, where = journal.state(trial), f"trial {number}"
        if state in ("RUNNING", None):
            continue
        reported = sorted(trial.intermediate_values)
        if REMADE in run.tags:
            continue  # the other curves are lost, and the run says so
        document = evidence.documents.get(number)
        if document is None:
            keys = _keys(UNMEASURED[journal.config.data.task])
            yield from _same_steps(where, run, keys, reported, state == "INTERRUPTED")
            continue
        epochs: Sequence[EpochMetrics] = document["epochs"]
        steps = [epoch.epoch for epoch in epochs]
        if state in ("COMPLETE", "PRUNED"):
            if steps != reported:
                what = f"trial.json has epochs {_told(steps)}, the journal {_told(reported)}"
                yield Finding(2, where, what)
            if (gaps := _gaps(evidence, number, steps)) is not None:
                yield Finding(2, where, f"was evaluated at epochs {_told(steps)}, not {gaps}")
        yield from as_the_document(where, run, epochs, state == "INTERRUPTED")


def expected(epochs: Sequence[EpochMetrics]) -> list[Point]:
    """The points of a trial's curves."""
    from harness.tracking.mlflow.naming import curves

    return [
        Point(key, epoch.epoch, value, int(epoch.time * 1000))
        for epoch in epochs
        for key, value in curves(epoch).items()
    ]


def _gaps(evidence: Snapshot, number: int, steps: Sequence[int]) -> str | None:
    """The epochs that the settings want evaluated, where those are not `steps`."""
    assert evidence.journal is not None
    trial = evidence.journal.trials[number]
    try:
        spec = evidence.journal.spec(trial)
    except (ValueError, KeyError, TypeError):
        return None  # told under invariant 5
    last = max(steps, default=0)
    if evidence.journal.state(trial) == "COMPLETE" and not spec.patience:
        last = spec.epochs
    wanted = [epoch for epoch in range(1, last + 1) if spec.evaluates(epoch)]
    return None if wanted == list(steps) else _told(wanted)


def as_the_document(
    where: str, run: RawRun, epochs: Sequence[EpochMetrics], interrupted: bool
) -> Iterator[Finding]:
    """What was interrupted may have one epoch more: its points are written first."""
    by_place: dict[tuple[str, int], list[Point]] = {}
    for point in run.points:
        by_place.setdefault((point.key, point.step), []).append(point)
    wanted = expected(epochs)
    keys = _keys()
    last = max((epoch.epoch for epoch in epochs), default=0)
    later = {step for key, step in by_place if key in keys and step > last}
    more = later if interrupted and len(later) == 1 else set[int]()
    lacking = [point for point in wanted if (point.key, point.step) not in by_place]
    for key in keys:
        steps = [point.step for point in lacking if point.key == key]
        if steps:
            mend = AddPoints(run.run_id, tuple(each for each in lacking if each.key == key))
            yield Finding(2, where, f"{key} lacks {_epochs(steps)}", mend)
    places = {(point.key, point.step): point for point in wanted}
    for (key, step), points in by_place.items():
        if key not in keys:
            continue
        if len(points) > 1:
            yield _twice(where, key, step, run)
        elif step in more:
            continue
        elif (key, step) not in places:
            yield Finding(2, where, f"{key} has a point at {_epochs([step])}, which never was")
        elif not _same(points[0].value, places[key, step].value):
            what = f"{key} is {points[0].value:g} at {_epochs([step])}, and trial.json says "
            yield Finding(2, where, f"{what}{places[key, step].value:g}", remedy=_ONCE)


def _same_steps(
    where: str,
    run: RawRun,
    keys: Sequence[str],
    reported: Sequence[int],
    interrupted: bool,
) -> Iterator[Finding]:
    """Without trial.json. An attempt that its driver did not live to end may lack its last points,
    or have one epoch more than the journal: points are written first."""
    steps = {key: [point.step for point in run.points if point.key == key] for key in keys}
    longest = max((sorted(set(have)) for have in steps.values()), key=len)
    wanted = list(reported)
    if interrupted:
        shorter = min(len(longest), len(reported))
        if longest[:shorter] == wanted[:shorter] and len(longest) <= len(reported) + 1:
            wanted = longest
    for key, have in steps.items():
        for step in sorted({step for step in have if have.count(step) > 1}):
            yield _twice(where, key, step, run)
        if lacking := [step for step in wanted if step not in have]:
            remedy = "its trial.json is gone too, so the values are lost"
            yield Finding(2, where, f"{key} lacks {_epochs(lacking)}", remedy=remedy)
        if more := sorted(set(have) - set(wanted)):
            yield Finding(2, where, f"{key} has {_epochs(more)}, which the journal has not")


def _keys(unmeasured: Sequence[str] = ()) -> list[str]:
    """Of all curves but those of such fields."""
    from harness.tracking.mlflow.naming import curves

    known = EpochMetrics.__dataclass_fields__.keys() - set(unmeasured)
    return list(curves(EpochMetrics(**dict.fromkeys(known, 0))))


_ONCE = "MLflow takes no point back; the curve in trial.json is right, and reports read that"


def _twice(where: str, key: str, step: int, run: RawRun) -> Finding:
    values = [point.value for point in run.points if (point.key, point.step) == (key, step)]
    told = " and ".join(f"{value:g}" for value in values)
    return Finding(2, where, f"{key} has {_epochs([step])} twice ({told})", remedy=_ONCE)


def _same(one: float, other: float) -> bool:
    bounded = max(-MOST, min(MOST, other))
    return one == bounded or (math.isnan(one) and math.isnan(other))


def _epochs(steps: Sequence[int]) -> str:
    return f"epoch{'s' if len(steps) > 1 else ''} {_told(steps)}"


def _told(steps: Sequence[int]) -> str:
    """`1, 2, 4`, the long ones shortened."""
    shown = [str(step) for step in steps]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:6], "...", shown[-1]]) or "none"
