"""The race of a search's best settings for the confirmation runs: which run is to be trained next.

The decisions are replayed from the record, so that a study continues after a crash as if there had
been none. See harness.stats.racing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.confirmation import (
    ConfirmedSetting,
    find_ended_runs,
    list_failed_runs,
    list_settings_to_confirm,
    rank_confirmed_settings,
)
from harness.analysis.validated_runs import read_validated_runs
from harness.metrics import get_sort_sign
from harness.stats.racing import MIN_SPLITS, Look, Race, count_clearly_worse, run_race
from harness.stats.selection import ValidatedRun, stack_scores
from harness.tracking.epoch_predictions import EPOCH_PREDICTIONS_FILE
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


@dataclass(frozen=True)
class RaceRules:
    """What a study's [confirm] and its data permit."""

    top: int
    """The number of settings."""
    seeds: int
    """The mean number of runs for each setting, where `budget` is 0."""
    budget: int
    """The most runs, or 0."""
    room: int
    """The number of new splits that there are: MIN_SPLITS or more."""
    examples: int
    """Validation examples on `seeds` splits, see `list_settings_to_confirm`."""


@dataclass(frozen=True)
class StudyRace:
    """The race of a study, as far as its record goes."""

    race: Race
    trials: tuple[RunRecord, ...]
    """A trial of each setting, the best of the search first."""
    budget: int

    def list_missing(self, study: StudyRun) -> list[tuple[RunRecord, int]]:
        """Return (trial, seed) of the runs to be trained before the next look."""
        ended, racing = find_ended_runs(study), set(self.race.settings)
        return [
            (trial, trial.spec.seed + split)
            for trial in self.trials
            for split in range(1, self.race.splits + 1)
            if trial.number in racing and (trial.number, trial.spec.seed + split) not in ended
        ]


def replay_race(study: StudyRun, tracker: Tracker, rules: RaceRules) -> StudyRace | None:
    """Replay the race from the record; None if fewer than two settings can race."""
    trials = list_settings_to_confirm(study, rules.top, rules.examples)
    if rules.budget and rules.budget < MIN_SPLITS * len(trials):
        trials = trials[: rules.top]  # no room for a smaller network
    if len(trials) < 2:
        return None
    budget = rules.budget or rules.seeds * len(trials)
    results = _Results(study, tracker)
    race = run_race([trial.number for trial in trials], budget, rules.room, results.look)
    return StudyRace(race, tuple(trials), budget)


class _Results:
    """The results on record, of which each look sees those of its splits."""

    def __init__(self, study: StudyRun, tracker: Tracker) -> None:
        self._study, self._tracker = study, tracker
        self._sign = get_sort_sign(study.objective)
        self._settings = {each.trial.number: each for each in rank_confirmed_settings(study)}
        seeds = {trial.number: trial.spec.seed for trial in study.trials}
        self._ended = {(n, seed - seeds[n]) for n, seed in find_ended_runs(study) if n in seeds}
        self._failed = {(run.number, run.split) for run in list_failed_runs(study)}
        self._files: dict[str, bytes] = {}

    def look(self, numbers: tuple[int, ...], splits: int) -> Look | None:
        """Compare the settings on their first splits; None if a run is missing."""
        every = range(1, splits + 1)
        if any((number, split) not in self._ended for number in numbers for split in every):
            return None
        failures = {n: sum((n, split) in self._failed for split in every) for n in numbers}
        fewest = min(failures.values())
        rest = [number for number in numbers if failures[number] == fewest]
        failed = [number for number in numbers if failures[number] > fewest]
        failed.sort(key=lambda number: (failures[number], number))
        shared = [
            split for split in every if not any((number, split) in self._failed for number in rest)
        ]
        rest.sort(key=lambda number: (self._compute_mean(number, shared or every), number))
        count = self._count_worse(rest, shared, splits - MIN_SPLITS + 1)
        return Look((*rest, *failed), tuple(rest[len(rest) - count :]), tuple(failed))

    def _compute_mean(self, number: int, splits: Sequence[int]) -> float:
        """Return the mean objective on those of these splits that it has; lower is better."""
        setting = self._settings.get(number)
        runs = setting.runs if setting else ()
        known = [run.objective_value(self._study.objective) for run in runs if run.split in splits]
        values = [value for value in known if value is not None]
        return self._sign * statistics.fmean(values) if values else math.inf

    def _count_worse(self, ranked: Sequence[int], splits: Sequence[int], look: int) -> int:
        """Count the last of these settings, which are clearly worse than the first."""
        if len(ranked) < 2 or len(splits) < MIN_SPLITS:
            return 0
        settings = [self._settings[number] for number in ranked]
        self._read_files(settings)
        runs = [read_validated_runs(self._study, each, splits, self._files) for each in settings]
        if not all(runs):
            return 0  # a file was lost, so nothing is shown
        costs = stack_scores([[_take_best_epoch(run) for run in row] for row in runs])
        is_proportion = self._study.objective == "val/accuracy"
        return count_clearly_worse(costs, look, is_proportion)

    def _read_files(self, settings: Sequence[ConfirmedSetting]) -> None:
        missing = [
            run.run_id for each in settings for run in each.runs if run.run_id not in self._files
        ]
        self._files |= self._tracker.read_files(missing, EPOCH_PREDICTIONS_FILE)


def _take_best_epoch(run: ValidatedRun) -> np.ndarray:
    """Return the costs at the epoch with the lowest mean, [n]."""
    costs: np.ndarray = run.costs[run.costs.mean(1).argmin()].astype(np.float64)
    return costs
