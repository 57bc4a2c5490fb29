"""Confirmation: train a search's best settings again over fresh seeds, with the same driver.

The record says which runs are missing. After a crash, ended runs stay, and runs that were
interrupted are trained again.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

from harness.analysis.confirmation import list_missing_seeds
from harness.analysis.formatting import format_count
from harness.data.prepare import PreparedDataset
from harness.errors import Interruption
from harness.executors.base import Executor
from harness.search.fixed_trials import ConfirmationRun, ConfirmationSearch
from harness.search.study import Search
from harness.sweep.driver import Driver
from harness.sweep.plan import Plan
from harness.sweep.progress import ProgressDisplay
from harness.sweep.recovery import DRIVER_DIED, require_own_study
from harness.system.failpoints import failpoint
from harness.system.signals import StopFlag
from harness.tracking.base import Tracker
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
            trial = Trial(number=run.number, uid=run.uid, spec=run.spec, confirms=run.number)
            tracker.finish_trial(trial, "INTERRUPTED", reason=DRIVER_DIED)
            failpoint("confirm.closed")
    missing = list_missing_runs(plan, study)
    if not missing:
        return
    count = len(missing)
    settings = len({run.number for run in missing})
    what = f"the best {settings} settings" if settings > 1 else f"trial {missing[0].number}"
    seeds = format_count(len({run.spec.seed for run in missing}), "fresh seed")
    watcher.stage(f"confirming {what} over {seeds}")
    with (
        nullcontext(executor)
        if executor
        else plan.create_executor(prepared, count, watcher.message) as workers
    ):
        ending = Driver(
            ConfirmationSearch(study.uid, missing, study.objective),
            workers,
            tracker,
            watcher,
            target=count,
            objective=study.objective,
            keep=count,
            noun="run",
        ).run(stop)
    if ending == "interrupted":
        raise Interruption("interrupted during confirmation; rerun the same command to continue")


def list_missing_runs(plan: Plan, study: StudyRun) -> list[ConfirmationRun]:
    """List the confirmation runs that are not on record, the best settings first."""
    if not plan.config.has_confirmation:
        return []
    table = plan.config.confirm
    return [
        ConfirmationRun(
            trial.number,
            replace(trial.spec, seed=seed),
            sum(
                (run.number, run.spec.seed) == (trial.number, seed)
                for run in study.confirmation_runs
            ),
        )
        for trial, seed in list_missing_seeds(study, table.top, table.seeds)
    ]
