"""The best settings of a search over fresh seeds: what each came to, who wins, which model is kept.

The best of many validation scores is chosen for its luck too. Trained again with seeds that had no
part in the choice, a setting shows its mean; by that the champion is chosen.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from harness.analysis.seed_variance import Spread, best_of_settings
from harness.errors import HarnessError
from harness.metrics import get_sort_sign
from harness.results import Objective
from harness.tracking.types import RunRecord, StudyRun
from harness.trial import TrialSpec

ENDED = ("COMPLETE", "FAILED")


@dataclass(frozen=True)
class ConfirmedSetting:
    """One of a search's best settings, trained again."""

    trial: RunRecord
    """The one that the search found."""
    runs: tuple[RunRecord, ...]
    """Complete ones, by seed."""
    failed: int
    """Seeds with which it could not be trained."""
    validation: Spread
    """The score at each run's best epoch."""
    value: float
    """Mean of the objective."""


def confirmed(study: StudyRun) -> list[ConfirmedSetting]:
    """Best mean of the objective first; a setting that fails with a seed after those that do not.

    Empty for a grid or list, and where nothing was confirmed.
    """
    found = [_of(study, trial) for trial in study.trials if study.has_confirmation]
    sign = get_sort_sign(study.objective)
    return sorted(
        (each for each in found if each is not None),
        key=lambda each: (each.failed, sign * each.value, each.trial.number),
    )


def champion_of(study: StudyRun) -> RunRecord | None:
    """The trial whose settings won, by validation alone; None where no trial is complete.

    Of a search, the best mean over fresh seeds, or the best score where it is not confirmed; of a
    grid or list, the best trial of the setting with the best mean: among single trials the
    luckiest seed would win.
    """
    if study.is_grid_or_list:
        return best_of_settings(study)
    found = confirmed(study)
    ranked = study.rank_trials()
    return found[0].trial if found else ranked[0] if ranked else None


def require_champion(study: StudyRun) -> RunRecord:
    """Return the study's champion. Raises HarnessError where no trial is complete."""
    champion = champion_of(study)
    if champion is None:
        failed = [run.reason for run in study.trials if run.state == "FAILED"]
        why = f"; the last failure: {failed[-1]}" if failed else ""
        raise HarnessError(f"study '{study.name}' has no complete trial to choose from{why}")
    return champion


def kept_of(study: StudyRun, champion: RunRecord) -> RunRecord:
    """The run whose model is kept: of those that confirm the champion the best by validation."""
    sign = get_sort_sign(study.objective)
    for each in confirmed(study):
        if each.trial.uid == champion.uid:
            return min(each.runs, key=lambda run: sign * _value(study.objective, run))
    return champion


def waiting(study: StudyRun, top: int, seeds: int) -> list[tuple[RunRecord, int]]:
    """(trial, seed) that are still to be trained, for the `top` best distinct settings.

    What ended is not trained again, neither what failed.
    """
    ended = {(run.number, run.spec.seed) for run in study.confirmation_runs if run.state in ENDED}
    return [
        (trial, seed)
        for trial in _distinct(study, top)
        for seed in range(trial.spec.seed + 1, trial.spec.seed + 1 + seeds)
        if (trial.number, seed) not in ended
    ]


def _distinct(study: StudyRun, top: int) -> Iterator[RunRecord]:
    specs: set[TrialSpec] = set()
    for run in study.rank_trials():
        if len(specs) < top and run.spec not in specs:
            specs.add(run.spec)
            yield run


def _of(study: StudyRun, trial: RunRecord) -> ConfirmedSetting | None:
    again = [run for run in study.confirmation_runs if run.number == trial.number]
    complete = [run for run in again if run.state == "COMPLETE"]
    if not complete or trial.state != "COMPLETE":
        return None
    runs = tuple(sorted(complete, key=lambda run: run.spec.seed))
    return ConfirmedSetting(
        trial,
        runs,
        failed=sum(run.state == "FAILED" for run in again),
        validation=Spread(tuple(_value(study.score.metric, run) for run in runs), study.score),
        value=statistics.fmean(_value(study.objective, run) for run in runs),
    )


def _value(objective: Objective, run: RunRecord) -> float:
    """At its best epoch, which a record without curves has too."""
    value = run.objective_value(objective)
    assert value is not None
    return value
