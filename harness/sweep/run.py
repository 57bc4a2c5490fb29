"""Run a study from start to summary: connect the parts, search, confirm, finalize."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.analysis.confirmation import MODELS_KEPT
from harness.analysis.formatting import format_count
from harness.analysis.summary import Summary
from harness.config.schema import GRID_OR_LIST
from harness.config.study_tables import parse_duration
from harness.data.prepare import PreparedDataset
from harness.errors import Interruption, Unsent
from harness.executors.base import Executor
from harness.search.open_study import open_search
from harness.search.study import Search
from harness.sweep.check_models import check_models, log_model_code
from harness.sweep.check_name import check_name
from harness.sweep.driver import Driver
from harness.sweep.plan import Plan
from harness.sweep.preload import PreloadingDisplay
from harness.sweep.process_state import use_process
from harness.sweep.progress import ProgressDisplay
from harness.sweep.recovery import close_on_error, read_own_study, recover_trials, require_own_study
from harness.sweep.setting_costs import CostMeter, check_limits
from harness.sweep.status import (
    describe_first_trials,
    find_best,
    format_best,
    format_done,
    format_start,
)
from harness.sweep.table_record import log_table
from harness.system.addresses import parse_sqlite_path
from harness.system.signals import StopFlag
from harness.tracking.outbox.queue import SUFFIX
from harness.tracking.raw_types import STOP_FILE
from harness.tracking.types import FIRST_TRIALS_FACT

if TYPE_CHECKING:
    from harness.tracking.outbox import OutboxTracker


def execute_plan(plan: Plan, *, fresh: bool, watcher: ProgressDisplay) -> Summary:
    """Run a planned study to its end, or resume it. Raises HarnessError."""
    config, workspace = plan.config, plan.workspace
    with use_process() as stop, plan.join_cluster() as plan:
        watcher.stage(f"preparing the data: {config.data.name}")
        prepared = plan.prepare(redraw=True)
        if not prepared.sizes["test"]:
            plan = replace(plan, opens_test_set=False)
        check_name(plan, prepared, fresh, watcher.message)
        with (
            check_models(plan, prepared) as plan,
            _open_search(plan, prepared, fresh, watcher) as search,
        ):
            if search.replaced:
                watcher.message(
                    f"{config.study.name}: nothing was trained with its earlier settings; "
                    f"their empty record is kept as {config.study.name}.{search.set_aside}"
                )
            if few := plan.config.describe_few_settings():
                watcher.message(f"{config.study.name}: {few}")
            watcher.message(format_start(plan, search))
            todo = search.target - search.counts.done
            if todo > 0:
                for note in prepared.notes:
                    watcher.message(note)
            if prepared.size_note and search.counts.done == 0:
                watcher.message(prepared.size_note)
            if todo <= 0 and (summary := _read_finished_study(plan, prepared, search, watcher)):
                return summary
            # Create the executor first: its fork server imports torch in the background, while the
            # outbox's thread imports mlflow.
            workers = plan.create_executor(prepared, todo, watcher.message) if todo > 0 else None
            with workers or nullcontext() as executor:
                watcher.stage("opening the tracking store")
                name = config.study.name
                with (
                    _explain_interruption(plan, search, watcher),
                    workspace.open_outbox(
                        name, plan.tracking_uri, watcher.message, stop
                    ) as tracker,
                ):
                    return _run_stages(plan, prepared, search, executor, tracker, watcher, stop)


@contextmanager
def _open_search(
    plan: Plan, prepared: PreparedDataset, fresh: bool, watcher: ProgressDisplay
) -> Iterator[Search]:
    """Open the study's search, for settings that are measured on its data."""
    note, measure = check_limits(plan.config, prepared), CostMeter(prepared.training).measure
    with open_search(plan.config, plan.storage, fresh, prepared.split_hash, measure) as search:
        several = "several objectives: no trial is pruned" if plan.config.study.objectives else ""
        for message in (note, several) if search.counts.done < search.target else ():
            if message:
                watcher.message(f"{plan.config.study.name}: {message}")
        yield search


def _read_finished_study(
    plan: Plan, prepared: PreparedDataset, search: Search, watcher: ProgressDisplay
) -> Summary | None:
    """Return the summary of a study of which everything is done and sent, else None.

    A local record is read without MLflow, whose import takes longer than all of the rest.
    """
    name, uri, workspace = plan.config.study.name, plan.resolved_tracking_uri, plan.workspace
    database = parse_sqlite_path(uri)
    if not search.has_ended_all or database is None or not database.is_file():
        return None
    if (workspace.outbox_folder(uri, f"{name}{SUFFIX}") / f"{name}{SUFFIX}").exists():
        return None  # something may have to be sent
    from harness.sweep.finalize import load_finished_summary

    watcher.stage("reading the record")
    return load_finished_summary(plan, prepared, workspace.open_tracker(uri, reading=True), search)


def _run_stages(
    plan: Plan,
    prepared: PreparedDataset,
    search: Search,
    executor: Executor | None,
    tracker: OutboxTracker,
    watcher: ProgressDisplay,
    stop: StopFlag,
) -> Summary:
    """Search, confirm and finalize; skip what an earlier run has finished."""
    tracker.ended_cleanly = search.has_ended_all
    if executor is None and search.has_ended_all:
        from harness.sweep.finalize import load_finished_summary

        watcher.stage("reading the record")
        summary = load_finished_summary(plan, prepared, tracker, search)
        if summary is not None:
            return summary
    continued = search.counts.done > 0
    record = plan.build_record(
        prepared,
        search.uid,
        continued=continued,
        set_aside=search.set_aside,
        set_aside_uid=search.set_aside_uid,
    )
    if first := describe_first_trials(search):
        record = replace(record, facts=record.facts | {FIRST_TRIALS_FACT: first})
    is_new = not continued and search.set_aside is None
    tracker.waits_for_store = executor is None or not (
        is_new and plan.workspace.is_ready_for_new_studies(plan.resolved_tracking_uri)
    )
    with _keep_outbox_until_settled(tracker, search), close_on_error(tracker, search.uid, stop):
        tracker.open_study(record)
        if continued and not tracker.waiting:  # the store answers
            with suppress(Unsent):
                read_own_study(tracker, search)  # a lost run is reported before anything is trained
        log_model_code(plan, tracker, search.uid)
        log_table(prepared, tracker, search.uid)
        recover_trials(search, tracker)
        if executor is not None:
            watcher.stage("loading PyTorch" if plan.inline else "starting the workers")
            executor.wait(0)
            is_search = plan.config.study.sampler not in GRID_OR_LIST
            what = "searching" if is_search else "training the settings"
            watcher.stage(f"{what} ({', '.join(plan.config.objectives)})")
            _drive_search(plan, search, executor, tracker, watcher, stop)
        watcher.stage("recording the trials")
        try:
            tracker.flush()
        except Unsent as error:
            done = format_done(search.counts.done, search.target)
            raise Unsent(f"{done}; {error}") from None
        from harness.sweep.confirm import confirm_best_settings
        from harness.sweep.finalize import finalize_study

        if search.ranking:
            confirm_best_settings(plan, prepared, search, executor, tracker, watcher, stop)
        if plan.config.data.folds:
            from harness.sweep.final_model import train_final_model

            study = require_own_study(tracker, search)
            train_final_model(plan, prepared, executor, tracker, study, watcher, stop)
        if executor is not None:
            executor.close()  # free the workers' memory before the champion is exported
        summary = finalize_study(plan, prepared, tracker, search, watcher, stop)
    tracker.flush()
    return summary


@contextmanager
def _explain_interruption(plan: Plan, search: Search, watcher: ProgressDisplay) -> Iterator[None]:
    """Add the best trial so far and the command to continue to an Interruption of the body."""
    try:
        yield
    except Interruption as error:
        error.command = plan.rerun_command
        if best := find_best(search):
            watcher.message(format_best(plan, best))
        raise


@contextmanager
def _keep_outbox_until_settled(tracker: OutboxTracker, search: Search) -> Iterator[None]:
    """Keep the outbox file until the Optuna record has the end of every trial."""
    try:
        yield
    finally:
        tracker.ended_cleanly = search.has_ended_all


def _drive_search(
    plan: Plan,
    search: Search,
    executor: Executor,
    tracker: OutboxTracker,
    watcher: ProgressDisplay,
    stop: StopFlag,
) -> None:
    """Run the search's trials to the target or the timeout. Raises Interruption for a signal."""
    study = plan.config.study
    table = plan.config.ensemble
    keep = max(MODELS_KEPT, table.candidates if table.size else 0)
    display = PreloadingDisplay(watcher, tracker)
    driver = Driver(
        search,
        executor,
        tracker,
        watcher if plan.inline else display,
        target=search.target,
        objective=study.objective,
        keep=study.trials if study.sampler in GRID_OR_LIST or study.objectives else keep,
        timeout=parse_duration(study.timeout) if study.timeout else None,
        best=find_best(search),
    )
    ending = driver.run(stop)
    display.finish(wait=ending != "interrupted")
    done = f"{search.counts.done} of {format_count(search.target, 'trial')}"
    if ending == "interrupted":
        raise Interruption(f"interrupted after {done}; rerun the same command to continue")
    if ending == "timeout":
        watcher.message(
            f"time limit of {study.timeout} reached after {done}; to continue:\n"
            f"  {plan.rerun_command}"
        )
    if search.stop is not None:
        tracker.log_file(search.uid, STOP_FILE, json.dumps(search.stop.to_dict()).encode())
        watcher.message(
            f"stopped after {search.counts.done} of {format_count(study.trials, 'trial')}: "
            f"{search.stop.reason}"
        )
