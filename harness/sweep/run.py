"""Run a study from start to summary: connect the parts, search, confirm, finalize."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.confirmation import MODELS_KEPT
from harness.analysis.formatting import format_count
from harness.analysis.summary import Summary
from harness.config.schema import GRID_OR_LIST
from harness.config.study_tables import parse_duration
from harness.data.prepare import PreparedDataset
from harness.errors import Interruption, Unsent
from harness.executors.base import Executor
from harness.executors.devices import DeviceOption
from harness.search.open_study import open_search
from harness.search.study import Search
from harness.sweep.check_models import check_models, log_model_code
from harness.sweep.check_name import check_name
from harness.sweep.driver import Driver
from harness.sweep.options import RunOptions
from harness.sweep.plan import Plan, make_plan
from harness.sweep.process_state import use_process
from harness.sweep.progress import ProgressDisplay, Silent
from harness.sweep.recovery import close_on_error, read_own_study, recover_trials
from harness.sweep.status import find_best, format_best, format_done, format_start
from harness.sweep.table_record import log_table
from harness.system.signals import StopFlag
from harness.tracking.types import RunRecord, TestReading

if TYPE_CHECKING:
    import pandas as pd

    from harness.tracking.outbox import OutboxTracker


@dataclass(frozen=True)
class StudyResult:
    """The result of `run_study`."""

    summary: Summary
    """What the command prints: `summary.text()`."""

    @property
    def verdict(self) -> Summary:
        """The name that version 0.1.0 had for `summary`."""
        return self.summary

    @property
    def champion(self) -> RunRecord:
        """The run whose model is kept; `champion.spec` has its settings."""
        return self.summary.champion

    @property
    def test(self) -> TestReading | None:
        """The results on the test set, such as `test.accuracy`; None if it was not read."""
        return self.summary.reading

    @property
    def report(self) -> Path:
        """Path of the report's page."""
        return self.summary.report_path

    @property
    def model(self) -> str:
        """URI of the champion's model, for `mlflow.pytorch.load_model`."""
        return self.summary.model_uri

    @property
    def trials(self) -> pd.DataFrame:
        """One row for each trial, indexed by number: its settings, state and best epoch."""
        import pandas as pd

        rows = []
        for run in self.summary.study.trials:
            row: dict[str, Any] = {"number": run.number, "state": run.state, "reason": run.reason}
            if run.best is not None:
                row |= {f"best_{name}": value for name, value in run.best.to_dict().items()}
            rows.append(row | {"parameters": run.parameters} | run.spec.to_dict())
        return pd.DataFrame(rows).set_index("number")


def run_study(
    study: str | Path = "fashion-mnist",
    *,
    trials: int | None = None,
    device: DeviceOption = None,
    workers: int | None = None,
    timeout: str | None = None,
    seed: int | None = None,
    data_dir: str | Path | None = None,
    tracking_uri: str | None = None,
    overrides: Sequence[str] = (),
    confirm: bool = True,
    test: bool = True,
    ray: str | None = None,
    cpus_per_worker: int | None = None,
    storage: str | None = None,
    home: str | Path = "mlruns",
    fresh: bool = False,
    watcher: ProgressDisplay | None = None,
) -> StudyResult:
    """Run a study to its end, or resume it where it stopped.

    The arguments are the options of `harness run-study`.

    Args:
        device: "gpu" demands CUDA, "cpu" forbids it, None takes what the machine has.
        overrides: settings that replace those of the study file, such as ["train.epochs=3"].
        confirm: whether a search's best settings are trained again on new splits.
        test: False leaves the test set sealed; `harness test STUDY` opens it later, once.
        home: the folder for all records.
        watcher: shows progress, such as `harness.cli.progress.plain.Plain()`; None shows nothing.

    Raises:
        HarnessError: the study cannot be run, or was interrupted.
    """
    options = RunOptions(
        trials=trials,
        device=device,
        workers=workers,
        timeout=timeout,
        seed=seed,
        data_dir=data_dir,
        tracking_uri=tracking_uri,
        overrides=overrides,
        confirm=confirm,
        test=test,
        ray=ray,
        cpus_per_worker=cpus_per_worker,
        storage=storage,
        home=home,
    )
    plan = make_plan(study, options)
    return execute_plan(plan, fresh=fresh, watcher=watcher or Silent())


def execute_plan(plan: Plan, *, fresh: bool, watcher: ProgressDisplay) -> StudyResult:
    """Run a planned study. Raises HarnessError."""
    config, workspace = plan.config, plan.workspace
    with use_process() as stop, plan.join_cluster() as plan:
        watcher.stage(f"preparing the data: {config.data.name}")
        prepared = plan.prepare(redraw=True)
        check_name(plan, prepared, fresh, watcher.message)
        with (
            check_models(plan, prepared) as plan,
            open_search(plan.config, plan.storage, fresh, prepared.split_hash) as search,
        ):
            if search.replaced:
                watcher.message(
                    f"{config.study.name}: nothing was trained with its earlier settings; "
                    f"their empty record is kept as {config.study.name}.{search.set_aside}"
                )
            if few := plan.config.describe_few_settings():
                watcher.message(f"{config.study.name}: {few}")
            watcher.message(format_start(plan, search))
            for note in prepared.notes:
                watcher.message(note)
            todo = search.target - search.counts.done
            workers = plan.create_executor(prepared, todo, watcher.message) if todo > 0 else None
            with workers or nullcontext() as executor:
                # Start the workers first: their fork server imports torch while this process
                # imports mlflow, and they map the data while the store is opened.
                if executor is not None:
                    watcher.stage("loading PyTorch" if plan.inline else "starting the workers")
                    executor.wait(0)
                watcher.stage("opening the tracking store")
                name = config.study.name
                with (
                    _explain_interruption(plan, search, watcher),
                    workspace.open_outbox(
                        name, plan.tracking_uri, watcher.message, stop
                    ) as tracker,
                ):
                    summary = _run_stages(plan, prepared, search, executor, tracker, watcher, stop)
    return StudyResult(summary)


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
    tracker.ended_cleanly = search.is_settled
    if executor is None and search.is_settled:
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
    with _keep_outbox_until_settled(tracker, search), close_on_error(tracker, search.uid, stop):
        tracker.open_study(record)
        if continued and not tracker.waiting:  # the store answers
            with suppress(Unsent):
                read_own_study(tracker, search)  # a lost run is reported before anything is trained
        log_model_code(plan, tracker, search.uid)
        log_table(prepared, tracker, search.uid)
        recover_trials(search, tracker)
        if executor is not None:
            is_search = plan.config.study.sampler not in GRID_OR_LIST
            what = "searching" if is_search else "training the settings"
            watcher.stage(f"{what} ({plan.config.study.objective})")
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
        tracker.ended_cleanly = search.is_settled


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
    ending = Driver(
        search,
        executor,
        tracker,
        watcher,
        target=search.target,
        objective=study.objective,
        keep=study.trials if study.sampler in GRID_OR_LIST else MODELS_KEPT,
        timeout=parse_duration(study.timeout) if study.timeout else None,
        best=find_best(search),
    ).run(stop)
    done = f"{search.counts.done} of {format_count(search.target, 'trial')}"
    if ending == "interrupted":
        raise Interruption(f"interrupted after {done}; rerun the same command to continue")
    if ending == "timeout":
        watcher.message(
            f"time limit of {study.timeout} reached after {done}; to continue:\n"
            f"  {plan.rerun_command}"
        )
