"""Confirmation: train a search's best settings again, with fresh seeds and on new splits.

One driver trains them, as it trained the search. Each seed has a split of its own, so that the
settings are measured on examples that were only trained on until then. A study that an earlier
version confirmed on its own split goes on so.

The record says which runs are missing. After a crash, ended runs stay, and runs that were
interrupted are trained again; so are failed ones where all failed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from harness.analysis.confirmation import list_missing_seeds
from harness.analysis.formatting import format_count
from harness.analysis.race import RaceRules, StudyRace, replay_race
from harness.analysis.race_record import RaceRecord
from harness.data.prepare import PreparedDataset
from harness.errors import Interruption
from harness.executors.base import Executor
from harness.search.fixed_trials import ConfirmationRun, ConfirmationSearch
from harness.search.study import Search
from harness.stats.racing import MIN_SPLITS
from harness.sweep.driver import Driver
from harness.sweep.plan import Plan
from harness.sweep.progress import ProgressDisplay
from harness.sweep.recovery import DRIVER_DIED, require_own_study
from harness.system.failpoints import failpoint
from harness.system.signals import StopFlag
from harness.tracking.base import Tracker
from harness.tracking.raw_types import RACE_FILE
from harness.tracking.types import StudyRun
from harness.trial import Trial


def confirm_best_settings(
    plan: Plan,
    prepared: PreparedDataset,
    search: Search,
    executor: Executor | None,
    tracker: Tracker,
    watcher: ProgressDisplay,
    stop: StopFlag,
) -> None:
    """Train the runs that the study's [confirm] asks for and that are not on record.

    `executor` None creates one. Raises Interruption.
    """
    study = require_own_study(tracker, search)
    for run in study.confirmation_runs:
        if run.state == "RUNNING":
            trial = Trial(
                number=run.number,
                uid=run.uid,
                spec=run.spec,
                confirms=run.number,
                split=run.split,
            )
            tracker.finish_trial(trial, "INTERRUPTED", reason=DRIVER_DIED)
            failpoint("confirm.closed")
    wanted: set[tuple[int, int]] = set()
    with ExitStack() as stack:
        while missing := list_missing_runs(plan, prepared, study, tracker):
            before, wanted = wanted, {(run.number, run.spec.seed) for run in missing}
            if wanted == before:
                break  # all of them failed; the next command trains them again
            if not before:
                _note_room(plan, prepared, missing, watcher)
            if executor is None:
                count = len(missing)
                executor = stack.enter_context(
                    plan.create_executor(prepared, count, watcher.message)
                )
            _train_runs(study, missing, executor, tracker, watcher, stop)
            if not is_race(plan, prepared, study):
                return
            study = require_own_study(tracker, search)
    race = find_race(plan, prepared, study, tracker)
    if race is not None and race.race.ending is not None:
        record = RaceRecord(race.race, race.budget)
        tracker.log_file(study.uid, RACE_FILE, json.dumps(record.to_dict()).encode())


def _note_room(
    plan: Plan,
    prepared: PreparedDataset,
    missing: Sequence[ConfirmationRun],
    watcher: ProgressDisplay,
) -> None:
    """Say if there are fewer new splits than [confirm] asks for."""
    seeds, room = plan.config.confirm.seeds, len(prepared.training.redrawn)
    if room < seeds and any(run.split for run in missing):
        watcher.message(
            f"[confirm] seeds = {seeds}: the training set has room for only "
            f"{format_count(room, 'new validation set')}; use a smaller [data] validation for more"
        )


def _train_runs(
    study: StudyRun,
    missing: Sequence[ConfirmationRun],
    executor: Executor,
    tracker: Tracker,
    watcher: ProgressDisplay,
    stop: StopFlag,
) -> None:
    """Train these runs. Raises Interruption."""
    count = len(missing)
    settings = len({run.number for run in missing})
    what = f"the best {settings} settings" if settings > 1 else f"trial {missing[0].number}"
    redrawn = len({run.split for run in missing if run.split})
    seeds = format_count(len({run.spec.seed for run in missing}), "fresh seed")
    over = f"on {format_count(redrawn, 'new split')}" if redrawn else f"over {seeds}"
    watcher.stage(f"confirming {what} {over}")
    ending = Driver(
        ConfirmationSearch(study.uid, missing, study.objective),
        executor,
        tracker,
        watcher,
        target=count,
        objective=study.objective,
        keep=count,
        noun="run",
    ).run(stop)
    if ending == "interrupted":
        raise Interruption("interrupted during confirmation; rerun the same command to continue")


def is_race(plan: Plan, prepared: PreparedDataset, study: StudyRun) -> bool:
    """Return whether the settings race: there are two new splits or more."""
    has_room = len(prepared.training.redrawn) >= MIN_SPLITS
    return plan.config.confirm.race and study.is_resampled and has_room


def find_race(
    plan: Plan, prepared: PreparedDataset, study: StudyRun, tracker: Tracker
) -> StudyRace | None:
    """Replay the study's race from the record; None without one."""
    table, room = plan.config.confirm, len(prepared.training.redrawn)
    if not plan.config.has_confirmation or not is_race(plan, prepared, study):
        return None
    examples = min(table.seeds, room) * prepared.sizes["validation"]
    rules = RaceRules(table.top, table.seeds, table.budget, room, examples)
    return replay_race(study, tracker, rules)


def list_missing_runs(
    plan: Plan, prepared: PreparedDataset, study: StudyRun, tracker: Tracker
) -> list[ConfirmationRun]:
    """List the confirmation runs that are not on record, the best settings first.

    Of a race, those before its next decision.
    """
    if not plan.config.has_confirmation:
        return []
    table = plan.config.confirm
    splits = len(prepared.training.redrawn) if study.is_resampled else 0
    splits = min(splits, table.seeds)  # a race has more
    race = find_race(plan, prepared, study, tracker)
    if race is not None:
        missing = race.list_missing(study)
    else:
        examples = splits * prepared.sizes["validation"]
        missing = list_missing_seeds(study, table.top, splits or table.seeds, examples)
    return [
        ConfirmationRun(
            trial.number,
            replace(trial.spec, seed=seed),
            sum(
                (run.number, run.spec.seed) == (trial.number, seed)
                for run in study.confirmation_runs
            ),
            split=seed - trial.spec.seed if splits else 0,
        )
        for trial, seed in missing
    ]
