"""Invariants 4 and 8, from the journal: how many trials ended, and in which order they were asked.

Of invariant 8 (the bits of an uninterrupted study) nothing can be seen afterwards but its
condition: every ordinal, which seeds the sampler, belongs to one trial that was not interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator

from optuna.trial import FrozenTrial

from harness.doctor.findings import AddPoints, Finding
from harness.doctor.journal_reader import Journal
from harness.doctor.snapshot import Snapshot
from harness.search.study import ATTEMPTS, drawn_of
from harness.tracking.raw_types import Point, RawRun
from harness.tracking.types import State

FINAL: dict[State, str] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAILED": "failed"}


def ended(journal: Journal) -> dict[str, int]:
    """Trials that count, by how they ended."""
    states = [journal.state(trial) for trial in journal.trials]
    return {name: states.count(state) for state, name in FINAL.items()}


def all_accounted_for(evidence: Snapshot) -> Iterator[Finding]:
    """Invariant 4. Fewer than requested are no breach: the same command goes on."""
    journal = evidence.journal
    if journal is None or not journal.begun:
        return
    counted = ended(journal)
    done, requested = sum(counted.values()), journal.requested
    if requested is not None and done > requested:
        what = f"{done} trials ended for good, and at most {requested} were asked for"
        remedy = "what is too much cannot be told; the results stand"
        yield Finding(4, evidence.name, what, remedy=remedy)
    again: dict[int, list[FrozenTrial]] = {}
    for trial in journal.trials:
        if "retry_of" in trial.user_attrs:
            again.setdefault(trial.user_attrs["retry_of"], []).append(trial)
    for trial in journal.trials:
        yield from _attempts(journal, trial, again.get(trial.number, []))
    yield from _told(evidence, counted)


def _attempts(
    journal: Journal, trial: FrozenTrial, retries: list[FrozenTrial]
) -> Iterator[Finding]:
    where, attrs = f"trial {trial.number}", trial.user_attrs
    if len(retries) > 1:
        told = " and ".join(str(each.number) for each in retries)
        yield Finding(4, where, f"was tried again twice, as {told}", remedy=_JOURNAL)
    state, attempt = journal.state(trial), attrs.get("attempt", 1)
    if state == "INTERRUPTED":
        successor = attrs["successor"]
        if [each.number for each in retries] != [successor]:
            what = f"was interrupted and names {successor} as its successor, which does not say so"
            yield Finding(4, where, what, remedy=_JOURNAL)
    elif retries and state not in ("RUNNING", None):
        what = f"counts as {FINAL[state]}, and was tried again as {retries[0].number}"
        yield Finding(4, where, what, remedy=_JOURNAL)
    before = attrs.get("retry_of")
    if before is not None and before < len(journal.trials):
        earlier = journal.trials[before].user_attrs.get("attempt", 1)
        if attempt not in (earlier, earlier + 1) or attempt > ATTEMPTS:
            what = f"is attempt {attempt} after attempt {earlier}, trial {before}"
            yield Finding(4, where, what, remedy=_JOURNAL)


_JOURNAL = "what stands in the journal is not changed; give back a copy, or start over with --fresh"


def _told(evidence: Snapshot, counted: dict[str, int]) -> Iterator[Finding]:
    """What the study's run says of the counts, once it went to its end."""
    run = evidence.parent
    if run is None or not evidence.concluded:
        return
    for name, count in counted.items():
        key = f"trials/{name}"
        if (told := run.metrics.get(key)) != count:
            what = f"its run's {key} is {'missing' if told is None else f'{told:g}'}, not {count}"
            mend = AddPoints(run.run_id, (latest(run, key, count),), "the journal")
            yield Finding(4, "the study", what, mend)


def latest(run: RawRun, key: str, value: float) -> Point:
    """A point that MLflow shows before all that are there: it goes by the step, then the time."""
    step = max((point.step for point in run.points if point.key == key), default=0)
    when = max((point.time for point in run.points), default=run.started)
    return Point(key, step, value, when + 1)


def in_order(evidence: Snapshot) -> Iterator[Finding]:
    """Invariant 8, as far as it can be seen."""
    journal = evidence.journal
    if journal is None or not journal.begun:
        return
    owners: dict[int, list[FrozenTrial]] = {}
    for trial in journal.trials:
        if journal.state(trial) != "INTERRUPTED":
            owners.setdefault(journal.ordinal(trial), []).append(trial)
    for ordinal in range(max(owners, default=-1) + 1):
        trials = owners.get(ordinal, [])
        if not trials:
            what = "belongs to no trial that was not interrupted"
            yield Finding(8, f"ordinal {ordinal}", what, remedy=_JOURNAL)
        elif len(trials) > 1:
            numbers = " and ".join(str(trial.number) for trial in trials)
            what = f"belongs to trials {numbers}, neither of which was interrupted"
            yield Finding(8, f"ordinal {ordinal}", what, remedy=_JOURNAL)
    for trial in journal.trials:
        before = trial.user_attrs.get("retry_of")
        if before is None or before >= len(journal.trials):
            continue
        first = journal.trials[before]
        if journal.ordinal(first) != journal.ordinal(trial):
            what = f"takes up trial {before}, but not its ordinal"
            yield Finding(8, f"trial {trial.number}", what, remedy=_JOURNAL)
        elif drawn_of(trial) != drawn_of(first) and None not in (drawn_of(trial), drawn_of(first)):
            what = f"takes up trial {before}, but not its settings"
            yield Finding(8, f"trial {trial.number}", what, remedy=_JOURNAL)
