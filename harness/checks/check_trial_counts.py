"""Invariants 4 and 8: how many trials ended, and in which order they were asked for.

Invariant 8 (an interrupted study gives the bits of an uninterrupted one) cannot be checked
afterwards, only its condition: every ordinal, which seeds the sampler, belongs to one trial that
was not interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.formatting import format_count
from harness.checks.findings import AddPoints, Finding, format_metric
from harness.checks.journal_reader import Journal
from harness.checks.snapshot import Snapshot
from harness.search.frozen_trial import get_sampled_params
from harness.search.read_only import FrozenTrial
from harness.search.study import ATTEMPTS
from harness.tracking.raw_types import Point, RawRun
from harness.tracking.types import State

FINAL_STATES: dict[State, str] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAILED": "failed"}


def count_final_states(journal: Journal) -> dict[str, int]:
    """Count the trials in each final state."""
    states = [journal.get_state(trial) for trial in journal.trials]
    return {name: states.count(state) for state, name in FINAL_STATES.items()}


def check_trial_counts(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 4: at most the requested trials ended, and retries name each other.

    Fewer trials are no problem: the same command continues.
    """
    journal = snapshot.journal
    if journal is None or not journal.is_started:
        return
    counted = count_final_states(journal)
    done, requested = sum(counted.values()), journal.requested_trials
    if requested is not None and done > requested:
        verb = "was" if requested == 1 else "were"
        problem = f"{format_count(done, 'trial')} ended, but only {requested} {verb} requested"
        remedy = "the results are valid; the surplus trials cannot be identified"
        yield Finding(4, snapshot.name, problem, remedy=remedy)
    again: dict[int, list[FrozenTrial]] = {}
    for trial in journal.trials:
        if "retry_of" in trial.user_attrs:
            again.setdefault(trial.user_attrs["retry_of"], []).append(trial)
    for trial in journal.trials:
        yield from _check_attempts(journal, trial, again.get(trial.number, []))
    yield from _check_study_metrics(snapshot, counted)


def _check_attempts(
    journal: Journal, trial: FrozenTrial, retries: list[FrozenTrial]
) -> Iterator[Finding]:
    location, attrs = f"trial {trial.number}", trial.user_attrs
    if len(retries) > 1:
        recorded = " and ".join(str(each.number) for each in retries)
        yield Finding(4, location, f"was retried twice, as {recorded}", remedy=_JOURNAL_REMEDY)
    state, attempt = journal.get_state(trial), attrs.get("attempt", 1)
    if state == "INTERRUPTED":
        successor = attrs["successor"]
        if [each.number for each in retries] != [successor]:
            problem = (
                f"was interrupted and names {successor} as its successor, which does not name it"
            )
            yield Finding(4, location, problem, remedy=_JOURNAL_REMEDY)
    elif retries and state not in ("RUNNING", None):
        problem = f"counts as {FINAL_STATES[state]}, but was retried as {retries[0].number}"
        yield Finding(4, location, problem, remedy=_JOURNAL_REMEDY)
    before = attrs.get("retry_of")
    if before is not None and before < len(journal.trials):
        earlier = journal.trials[before].user_attrs.get("attempt", 1)
        if attempt not in (earlier, earlier + 1) or attempt > ATTEMPTS:
            problem = f"is attempt {attempt} after attempt {earlier}, trial {before}"
            yield Finding(4, location, problem, remedy=_JOURNAL_REMEDY)


_JOURNAL_REMEDY = (
    "the journal is never edited; restore it from a backup, or start over with --fresh"
)


def _check_study_metrics(snapshot: Snapshot, counted: dict[str, int]) -> Iterator[Finding]:
    """Compare the counts in a finished study's run with the journal."""
    run = snapshot.study_run
    if run is None or not snapshot.is_finished:
        return
    for name, count in counted.items():
        key = f"trials/{name}"
        if (recorded := run.metrics.get(key)) != count:
            problem = f"its run's {key} is {format_metric(recorded)}, not {count}"
            fix = AddPoints(run.run_id, (build_latest_point(run, key, count),), "the journal")
            yield Finding(4, "the study", problem, fix)


def build_latest_point(run: RawRun, key: str, value: float) -> Point:
    """Build a point that MLflow shows as the latest: the highest step, then the latest time."""
    step = max((point.step for point in run.points if point.key == key), default=0)
    when = max((point.time for point in run.points), default=run.started)
    return Point(key, step, value, when + 1)


def check_ordinals(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 8: each ordinal belongs to exactly one trial that was not interrupted."""
    journal = snapshot.journal
    if journal is None or not journal.is_started:
        return
    owners: dict[int, list[FrozenTrial]] = {}
    for trial in journal.trials:
        if journal.get_state(trial) != "INTERRUPTED":
            owners.setdefault(journal.get_ordinal(trial), []).append(trial)
    for ordinal in range(max(owners, default=-1) + 1):
        trials = owners.get(ordinal, [])
        if not trials:
            problem = "belongs to no trial that was not interrupted"
            yield Finding(8, f"ordinal {ordinal}", problem, remedy=_JOURNAL_REMEDY)
        elif len(trials) > 1:
            numbers = " and ".join(str(trial.number) for trial in trials)
            problem = f"belongs to trials {numbers}, neither of which was interrupted"
            yield Finding(8, f"ordinal {ordinal}", problem, remedy=_JOURNAL_REMEDY)
    for trial in journal.trials:
        before = trial.user_attrs.get("retry_of")
        if before is None or before >= len(journal.trials):
            continue
        first = journal.trials[before]
        if journal.get_ordinal(first) != journal.get_ordinal(trial):
            problem = f"retries trial {before} with another ordinal"
            yield Finding(8, f"trial {trial.number}", problem, remedy=_JOURNAL_REMEDY)
        elif get_sampled_params(trial) != get_sampled_params(first) and None not in (
            get_sampled_params(trial),
            get_sampled_params(first),
        ):
            problem = f"retries trial {before} with other settings"
            yield Finding(8, f"trial {trial.number}", problem, remedy=_JOURNAL_REMEDY)
