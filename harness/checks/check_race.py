"""Invariant 5 for a race of the confirmation runs: its decisions follow from runs on record."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.confirmation import find_ended_runs
from harness.analysis.race_record import RaceRecord
from harness.checks.check_best_trial import build_study_run, compute_champion, get_study_command
from harness.checks.check_test_set import RESTORE_FILE
from harness.checks.findings import Finding
from harness.checks.snapshot import Snapshot
from harness.stats.racing import MIN_SPLITS
from harness.tracking.raw_types import RACE_FILE

LOCATION = "the race"


def check_race(snapshot: Snapshot) -> Iterator[Finding]:
    """Check that each look of a finished study's race has the runs that it compares.

    A race file that was lost is reported under invariant 7.
    """
    content = snapshot.study_run.file_content(RACE_FILE) if snapshot.study_run else None
    champion = compute_champion(snapshot) if snapshot.is_finished else None
    if not content or champion is None:
        return
    try:
        race = RaceRecord.from_json(content).race
    except (ValueError, KeyError, TypeError):
        yield Finding(5, LOCATION, f"{RACE_FILE} cannot be read", remedy=RESTORE_FILE)
        return
    study = build_study_run(snapshot)
    seeds = {trial.number: trial.spec.seed for trial in study.trials}
    ended = {(n, seed - seeds[n]) for n, seed in find_ended_runs(study) if n in seeds}
    compared = {
        (number, split)
        for splits, look in enumerate(race.looks, MIN_SPLITS)
        for number in look.ranked
        for split in range(1, splits + 1)
    }
    if missing := sorted(compared - ended):
        number, split = missing[0]
        problem = f"{RACE_FILE} compares trial {number} on new split {split}, which has no run"
        yield Finding(5, LOCATION, problem, remedy=f"train it with: {get_study_command(snapshot)}")
    elif race.runs != len(compared):
        problem = f"{RACE_FILE} counts {race.runs} runs, and its looks compare {len(compared)}"
        yield Finding(5, LOCATION, problem, remedy=RESTORE_FILE)
