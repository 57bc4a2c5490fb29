"""Choose the champion: the settings that win, and the run whose model is registered.

The best of many validation scores is partly luck. So a search trains its best settings again, with
fresh seeds and on new splits, on which nothing was selected, and the champion is chosen by the mean
of these confirmation runs. Among them is a small network that may be as good.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.analysis.seed_variance import SeedScores, find_best_trial_of_settings
from harness.errors import HarnessError, StudyError
from harness.metrics import get_sort_sign
from harness.results import Objective
from harness.tracking.types import RunRecord, StudyRun
from harness.trial import TrialSpec

MODELS_KEPT = 5
"""The number of a search's best trials whose weights are kept."""
MIN_EXAMPLES_FOR_MARGIN = 1.645**2 * 0.01
"""This over the square of a margin is the least number of validation examples on which a smaller
network is confirmed: with fewer, a difference on 1 % of them exceeds the margin's test."""
SHOWN_TRIALS = 5
"""How many trials without a run are named."""


@dataclass(frozen=True)
class ConfirmedSetting:
    """One of a search's best settings, and its confirmation runs."""

    trial: RunRecord
    """The trial of the search that has these settings."""
    runs: tuple[RunRecord, ...]
    """The complete confirmation runs, by seed."""
    failed: int
    """Number of seeds with which training failed."""
    validation: SeedScores
    """The score at each run's best epoch."""
    mean_objective: float


def rank_confirmed_settings(study: StudyRun) -> list[ConfirmedSetting]:
    """Return the confirmed settings: fewest failed seeds first, then the best mean objective.

    Two settings of a race are compared on the splits that both have, each with all others, and the
    one with the most wins is first. The list is empty for a grid or list, and if nothing was
    confirmed.
    """
    settings = [
        _build_confirmed_setting(study, trial) for trial in study.trials if study.has_confirmation
    ]
    sign = get_sort_sign(study.objective)
    ranked = sorted(
        (setting for setting in settings if setting is not None),
        key=lambda setting: (setting.failed, sign * setting.mean_objective, setting.trial.number),
    )
    return _rank_on_common_splits(study, ranked) if study.is_raced else ranked


def _rank_on_common_splits(
    study: StudyRun, settings: Sequence[ConfirmedSetting]
) -> list[ConfirmedSetting]:
    """Rank settings with runs on different splits by their wins; of equal ones the first stays."""
    objectives = {
        each.trial.number: {run.split: _read_objective(study.objective, run) for run in each.runs}
        for each in settings
    }
    failed: dict[int, set[int]] = {}
    for run in list_failed_runs(study):
        failed.setdefault(run.number, set()).add(run.split)
    sign = get_sort_sign(study.objective)

    def beats(first: int, second: int) -> bool:
        ends = [objectives[each].keys() | failed.get(each, set()) for each in (first, second)]
        failures = [len(failed.get(each, set()) & ends[0] & ends[1]) for each in (first, second)]
        if failures[0] != failures[1]:
            return failures[0] < failures[1]
        common = objectives[first].keys() & objectives[second].keys()
        means = [
            sign * statistics.fmean(objectives[each][split] for split in sorted(common))
            for each in ((first, second) if common else ())
        ]
        return bool(means) and (means[0], first) < (means[1], second)

    wins = {first: sum(beats(first, second) for second in objectives) for first in objectives}
    return sorted(settings, key=lambda each: -wins[each.trial.number])


def find_champion(study: StudyRun) -> RunRecord | None:
    """Return the trial whose settings won, by validation alone; None if no trial is complete.

    For a search: the best mean over fresh seeds, or the best trial if nothing was confirmed. For a
    grid or list: the best trial of the setting with the best mean, because among single trials
    the luckiest seed would win.
    """
    if study.is_grid_or_list:
        return find_best_trial_of_settings(study)
    confirmed = rank_confirmed_settings(study)
    ranked = study.rank_trials()
    return confirmed[0].trial if confirmed else ranked[0] if ranked else None


def require_champion(study: StudyRun) -> RunRecord:
    """Return the study's champion.

    Raises StudyError if a run was deleted that could be the champion's, HarnessError if no trial is
    complete.
    """
    if study.deleted:
        raise StudyError(describe_lost_runs(study.name, study.deleted))
    champion = find_champion(study)
    if champion is None:
        failed = [run.reason for run in study.trials if run.state == "FAILED"]
        why = describe_no_champion(failed[-1] if failed else "")
        raise HarnessError(f"study '{study.name}': {why}")
    return champion


def describe_no_champion(last_failure: str) -> str:
    """Return why a study without a complete trial has no champion, and what to do."""
    why = f"; the last failure: {last_failure}" if last_failure else ""
    return (
        f"no trial is complete, so none can be chosen{why}; run more trials (--trials), or change "
        "the settings and start over with --fresh"
    )


def describe_lost_runs(name: str, lost: Sequence[str]) -> str:
    """Return why a study's champion is not certain, and what to do.

    `lost` names the trials without a run, as `trial 3`.
    """
    shown = ", ".join(lost[:SHOWN_TRIALS])
    more = len(lost) - SHOWN_TRIALS
    shown += f" and {more} more" if more > 0 else ""
    return (
        f"study '{name}': the MLflow run of {shown} was deleted, so the best trial is not certain; "
        f"restore it with: harness doctor --repair {name}"
    )


def find_model_run(study: StudyRun, champion: RunRecord) -> RunRecord:
    """Return the run whose model is registered.

    It is the champion itself: its confirmation runs on new splits have other validation sets, so
    they cannot be compared. If its weights are not kept, it is the first of them. Confirmation runs
    on the study's own split can be compared, and the best of them is returned.
    """
    sign = get_sort_sign(study.objective)
    runs = [
        run
        for setting in rank_confirmed_settings(study)
        if setting.trial.uid == champion.uid
        for run in setting.runs
    ]
    if not runs:
        return champion
    if runs[0].split:
        kept = study.rank_trials()[:MODELS_KEPT]
        return champion if any(run.uid == champion.uid for run in kept) else runs[0]
    return min(runs, key=lambda run: sign * _read_objective(study.objective, run))


def find_small_candidate(study: StudyRun, top: int) -> RunRecord | None:
    """Return the smallest trial whose score is within the best trial's interval.

    None if it is not smaller than each of the `top` settings, which are confirmed anyway.
    """
    best = list(_select_top_trials(study, top))
    interval = study.score.compute_interval(best[0]) if best else None
    if interval is None:
        return None
    sign = study.score.sign
    limit = max(sign * bound for bound in interval)
    near = [
        run
        for run in study.rank_trials()
        if run.best is not None and run.parameters > 0 and sign * run.score <= limit
    ]
    smallest = min(near, key=lambda run: run.parameters, default=None)
    if smallest and all(smallest.parameters < run.parameters for run in best):
        return smallest
    return None


def can_show_margin(examples: int, margin: float) -> bool:
    """Return whether so many validation examples may show that a network is within the margin.

    `margin` is in points, or percent of an RMSE.
    """
    return examples * (margin / 100) ** 2 >= MIN_EXAMPLES_FOR_MARGIN


def list_missing_seeds(
    study: StudyRun, top: int, seeds: int, examples: int = 0
) -> list[tuple[RunRecord, int]]:
    """Return (trial, seed) of the confirmation runs still to be trained, for the `top` settings.

    A run that failed is trained again if none is complete: then nothing was confirmed, as after an
    error in the network's code. Else it shows that training may fail, and ranks its setting lower.
    If the runs have so many `examples` of new splits that a smaller network may be shown to be
    within the margin, the smallest candidate is confirmed too.
    """
    ended = find_ended_runs(study)
    return [
        (trial, seed)
        for trial in list_settings_to_confirm(study, top, examples)
        for seed in range(trial.spec.seed + 1, trial.spec.seed + 1 + seeds)
        if (trial.number, seed) not in ended
    ]


def list_settings_to_confirm(study: StudyRun, top: int, examples: int) -> list[RunRecord]:
    """Return a trial of each of the `top` settings, and of a smaller network; see above."""
    trials = list(_select_top_trials(study, top))
    if can_show_margin(examples, study.margin):
        candidate = find_small_candidate(study, top)
        trials += [candidate] if candidate else []
    return trials


def find_ended_runs(study: StudyRun) -> set[tuple[int, int]]:
    """Return (number, seed) of the confirmation runs that are not trained again; see above."""
    complete = [run for run in study.confirmation_runs if run.state == "COMPLETE"]
    failed = list_failed_runs(study) if complete else []
    return {(run.number, run.spec.seed) for run in (*complete, *failed)}


def list_failed_runs(study: StudyRun) -> list[RunRecord]:
    """Return the confirmation runs that failed, one for each trial and seed without a complete one.

    A run that was trained again has several records.
    """
    runs = study.confirmation_runs
    complete = {(run.number, run.spec.seed) for run in runs if run.state == "COMPLETE"}
    failed = {(run.number, run.spec.seed): run for run in runs if run.state == "FAILED"}
    return [run for key, run in failed.items() if key not in complete]


def _select_top_trials(study: StudyRun, top: int) -> Iterator[RunRecord]:
    specs: set[TrialSpec] = set()
    for run in study.rank_trials():
        if len(specs) < top and run.spec not in specs:
            specs.add(run.spec)
            yield run


def _build_confirmed_setting(study: StudyRun, trial: RunRecord) -> ConfirmedSetting | None:
    confirmation_runs = [run for run in study.confirmation_runs if run.number == trial.number]
    complete = [run for run in confirmation_runs if run.state == "COMPLETE"]
    if not complete or trial.state != "COMPLETE":
        return None
    runs = tuple(sorted(complete, key=lambda run: run.spec.seed))
    return ConfirmedSetting(
        trial,
        runs,
        failed=sum(run.number == trial.number for run in list_failed_runs(study)),
        validation=SeedScores(
            tuple(_read_objective(study.score.metric, run) for run in runs), study.score
        ),
        mean_objective=statistics.fmean(_read_objective(study.objective, run) for run in runs),
    )


def _read_objective(objective: Objective, run: RunRecord) -> float:
    """Return the objective at the best epoch, which records without learning curves have too."""
    value = run.objective_value(objective)
    assert value is not None
    return value
