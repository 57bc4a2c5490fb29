"""Run a study: builds the concrete parts, drives them, draws the conclusion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.formatting import counted
from harness.analysis.summary import Summary
from harness.config.schema import GRID_OR_LIST, seconds
from harness.data.prepare import Prepared
from harness.errors import HarnessError, Interruption, Unsent
from harness.executors.base import Executor
from harness.executors.devices import Demand
from harness.search.open_study import open_search
from harness.search.study import Search
from harness.sweep.check_models import examined, keep_code
from harness.sweep.driver import KEPT, Best, Driver, ProgressDisplay
from harness.sweep.plan import Plan, plan
from harness.sweep.quiet import Silent
from harness.sweep.recovery import recover
from harness.system.signals import Stop, interruptible
from harness.tracking.types import RunRecord, State, TestReading
from harness.workspace import private

if TYPE_CHECKING:
    import pandas as pd

    from harness.tracking.outbox import OutboxTracker


@dataclass(frozen=True)
class StudyResult:
    """What `run_study` found."""

    verdict: Summary

    @property
    def champion(self) -> RunRecord:
        return self.verdict.champion

    @property
    def test(self) -> TestReading | None:
        return self.verdict.reading

    @property
    def report(self) -> Path:
        return self.verdict.report

    @property
    def model(self) -> str:
        """Loads by `mlflow.pytorch.load_model`."""
        return self.verdict.model

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial, by number: its settings, its state, its best epoch."""
        import pandas as pd

        rows = []
        for run in self.verdict.study.trials:
            row: dict[str, Any] = {"number": run.number, "state": run.state, "reason": run.reason}
            if run.best is not None:
                row |= {f"best_{name}": value for name, value in run.best.to_dict().items()}
            rows.append(row | {"parameters": run.parameters} | run.spec.to_dict())
        return pd.DataFrame(rows).set_index("number")


def run_study(
    study: str | Path = "fashion-mnist",
    *,
    trials: int | None = None,
    device: Demand = None,
    workers: int | None = None,
    timeout: str | None = None,
    seed: int | None = None,
    data_dir: str | Path | None = None,
    tracking_uri: str | None = None,
    overrides: Sequence[str] = (),
    confirm: bool = True,
    ray: str | None = None,
    cpus_per_worker: int | None = None,
    storage: str | None = None,
    home: str | Path = "mlruns",
    fresh: bool = False,
    watcher: ProgressDisplay | None = None,
) -> StudyResult:
    """Run a study to its end, or go on where it stopped. Raises HarnessError.

    The options are those of `harness run-study`: `device` is "gpu", "cpu" or None for what is
    there, `overrides` are ["train.epochs=3", ...], `home` is where records lie. Without `confirm`
    a search's winner is not trained again. Silent unless a `watcher` is given, such as
    `harness.cli.progress.plain.Plain()`.
    """
    planned = plan(
        study,
        trials=trials,
        device=device,
        workers=workers,
        timeout=timeout,
        seed=seed,
        data_dir=data_dir,
        tracking_uri=tracking_uri,
        overrides=overrides,
        confirm=confirm,
        ray=ray,
        cpus_per_worker=cpus_per_worker,
        storage=storage,
        home=home,
    )
    return execute(planned, fresh=fresh, watcher=watcher or Silent())


def execute(planned: Plan, *, fresh: bool, watcher: ProgressDisplay) -> StudyResult:
    """Carry a plan out."""
    config, home = planned.config, planned.home
    with private(), interruptible() as stop, planned.joined() as planned:
        prepared = planned.prepare()
        with (
            examined(planned, prepared) as planned,
            open_search(planned.config, planned.place, fresh, prepared.split_hash) as search,
        ):
            watcher.message(_opening(planned, search))
            todo = config.study.trials - search.counts.done
            workers = planned.executor(prepared, todo, watcher.message) if todo > 0 else None
            with workers or nullcontext() as executor:
                # The workers' fork server imports torch while mlflow is imported here, and the
                # workers map the data while the store is opened.
                if executor is not None:
                    executor.wait(0)
                name = config.study.name
                with home.open_spool(name, planned.tracking_uri, watcher.message, stop) as tracker:
                    verdict = _execute(planned, prepared, search, executor, tracker, watcher, stop)
    return StudyResult(verdict)


def _execute(
    planned: Plan,
    prepared: Prepared,
    search: Search,
    executor: Executor | None,
    tracker: OutboxTracker,
    watcher: ProgressDisplay,
    stop: Stop,
) -> Summary:
    tracker.in_order = search.settled
    if executor is None and search.settled:
        from harness.sweep.finalize import settled

        verdict = settled(planned, tracker, search)
        if verdict is not None:
            return verdict
    with _closed(tracker, search, stop):
        continued = search.counts.done > 0
        record = planned.record(
            prepared, search.uid, continued=continued, set_aside=search.set_aside
        )
        tracker.open(record)
        keep_code(planned, tracker, search.uid)
        recover(search, tracker)
        if executor is not None:
            _sweep(planned, search, executor, tracker, watcher, stop)
        try:
            tracker.flush()
        except Unsent as error:
            done = f"{search.counts.done} of {planned.config.study.trials} trials are done"
            raise Unsent(f"{done}; {error}") from None
        from harness.data.torch_datasets import SealedTest
        from harness.sweep.confirm import confirm
        from harness.sweep.finalize import conclude

        if search.ranking:
            confirm(planned, prepared, executor, tracker, watcher, stop)
        if executor is not None:
            executor.close()  # their memory is free before the champion is exported
        sealed = SealedTest.of(prepared)
        verdict = conclude(planned, prepared, sealed, tracker, search, watcher, stop)
    tracker.flush()
    return verdict


@contextmanager
def _closed(tracker: OutboxTracker, search: Search, stop: Stop) -> Iterator[None]:
    """Whatever happens inside, the study's run does not stay RUNNING."""
    state: State
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, Interruption | KeyboardInterrupt | Unsent)
        state = "INTERRUPTED" if stopped else "FAILED"
        with suppress(HarnessError), stop.shielded():  # the first error is the one to tell
            tracker.close(search.uid, state, reason=str(error) or type(error).__name__)
        raise
    finally:
        tracker.in_order = search.settled


def _sweep(
    planned: Plan,
    search: Search,
    executor: Executor,
    tracker: OutboxTracker,
    watcher: ProgressDisplay,
    stop: Stop,
) -> None:
    """Drive the study to its target or its timeout. Raises Interruption for a signal."""
    study = planned.config.study
    best = None
    if search.ranking:
        trial = search.trial(search.ranking[0][1])
        best = Best(trial.title, abs(search.ranking[0][0]), trial.spec.describe())
    ending = Driver(
        search,
        executor,
        tracker,
        watcher,
        target=study.trials,
        objective=study.objective,
        keep=study.trials if study.sampler in GRID_OR_LIST else KEPT,
        timeout=seconds(study.timeout) if study.timeout else None,
        best=best,
    ).run(stop)
    done = f"{search.counts.done} of {study.trials} trials"
    if ending == "interrupted":
        raise Interruption(
            f"interrupted after {done}; what ran is tried again, the same command goes on"
        )
    if ending == "timeout":
        watcher.message(f"stopped after {study.timeout} with {done}; the same command goes on")


def _opening(planned: Plan, search: Search) -> str:
    name, target, done = planned.config.study.name, planned.config.study.trials, search.counts.done
    if done >= target:
        return f"{name}: {done} trials are done already, nothing to train for {target}"
    workers = "in this process" if planned.inline else counted(len(planned.devices), "worker")
    where = f"on {planned.device} ({workers})"
    if done:
        return f"{name}: going on after {done} of {target} trials, {where}"
    return f"{name}: {target} trials {where}"
