"""Run a study: builds the concrete parts, drives them, draws the conclusion."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import config as configs
from harness.config import StudyConfig
from harness.data.files import Prepared
from harness.driver import Driver, Ending, Watcher
from harness.errors import Interruption
from harness.executors.base import Executor
from harness.plan import Plan, plan
from harness.progress.quiet import Quiet
from harness.search import Search, open_search
from harness.tracking.records import RunRecord, TestReading
from harness.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd

    from harness.tracking.base import Tracker


@dataclass(frozen=True)
class StudyResult:
    """What `run_study` found."""

    verdict: Verdict

    @property
    def champion(self) -> RunRecord:
        return self.verdict.champion

    @property
    def test(self) -> TestReading | None:
        return self.verdict.reading

    @property
    def report(self) -> Path | None:
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
                row |= {f"best_{name}": value for name, value in vars(run.best).items()}
            rows.append(row | {"parameters": run.parameters} | run.spec.to_dict())
        return pd.DataFrame(rows).set_index("number")


def run_study(
    study: str | Path = "fashion-mnist",
    *,
    fresh: bool = False,
    watcher: Watcher | None = None,
    **options: Any,
) -> StudyResult:
    """Run a study to its end, or go on where it stopped.

    Takes `plan`'s options: trials, device ("gpu", "cpu" or None), workers, timeout, seed, data_dir,
    tracking_uri, overrides (["train.epochs=3"]), home. Raises HarnessError.
    """
    return execute(plan(study, **options), fresh=fresh, watcher=watcher or Quiet())


def execute(planned: Plan, *, fresh: bool, watcher: Watcher) -> StudyResult:
    prepared = planned.prepare()
    config = planned.config
    with open_search(config, planned.home.journals, fresh) as search:
        todo = config.study.trials - search.counts.done
        # Workers first: they import torch while the driver imports mlflow.
        executor: AbstractContextManager[Executor | None] = (
            planned.executor(prepared) if todo > 0 else nullcontext()
        )
        with executor as running:
            watcher.message(_opening(config, search, planned))
            tracker = planned.home.open_tracker(planned.tracking_uri)
            tracker.open(planned.record(prepared, search.uid, set_aside=search.set_aside))
            ended = False
            try:
                ending = _sweep(planned, search, running, tracker, watcher)
                if ending == "interrupted":
                    raise Interruption(
                        f"interrupted after {search.counts.done} of {config.study.trials} trials; "
                        "nothing is lost, the same command goes on"
                    )
                verdict = _conclude(planned, prepared, tracker, search, watcher, todo > 0)
                ended = True
            finally:
                if not ended:
                    tracker.close(search.uid, "INTERRUPTED", "", {})
    return StudyResult(verdict)


def _sweep(
    planned: Plan, search: Search, executor: Executor | None, tracker: Tracker, watcher: Watcher
) -> Ending:
    config = planned.config
    for number in search.stale:
        trial, reason = search.stale_trial(number), "the driver died"
        successor = search.interrupt(number, reason)
        state = "INTERRUPTED" if successor is not None else "FAILED"
        tracker.finish(trial, state, reason=reason, successor=successor)  # type: ignore[arg-type]
    if executor is None:
        return "done"
    timeout = configs.seconds(config.study.timeout) if config.study.timeout else None
    driver = Driver(
        search,
        executor,
        tracker,
        watcher,
        target=config.study.trials,
        objective=config.study.objective,
        timeout=timeout,
    )
    ending = driver.run()
    executor.close()  # the workers' memory is free before the champion is exported
    return ending


def _conclude(
    planned: Plan,
    prepared: Prepared,
    tracker: Tracker,
    search: Search,
    watcher: Watcher,
    changed: bool,
) -> Verdict:
    """Freeze the choice, keep the champion, read the test set, write the report."""
    import numpy as np

    from harness.data.parts import SealedTest
    from harness.model import load_mlp
    from harness.reports import page
    from harness.selection import freeze, read_test

    name = planned.config.study.name
    study = tracker.read(name)
    assert study is not None
    selection = freeze(study)
    champion = selection.champion
    # One look for a champion: going on with a study that keeps it does not open the set again.
    reading = next((r for r in study.readings if r.number == champion.number), None)
    if reading is None:
        watcher.message(
            f"trial {champion.number} is chosen; keeping its model, reading the test set"
        )
        classes = prepared.training.classes
        weights = tracker.weights(champion.uid)
        model = load_mlp(champion.spec, len(classes), weights)
        example = np.zeros((2, *prepared.training.shape), np.uint8)
        assert champion.best is not None
        note = (
            f"Study '{name}', trial {champion.number}: {champion.spec.describe()}. Validation "
            f"accuracy {champion.best.val_accuracy:.4f}. Takes images as uint8, any batch size; "
            f"gives logits for {', '.join(classes)}."
        )
        tracker.log_champion(name, model, example, champion, note)
        reading = read_test(selection.hash, champion.number, model, SealedTest.of(prepared))
        tracker.log_test(search.uid, reading)
        changed = True
        study = tracker.read(name)
        assert study is not None
    report = planned.home.report(name)
    verdict = Verdict.of(study, champion, report)
    page.write(verdict, report)
    if changed:
        tracker.log_file(search.uid, report)
    assert champion.best is not None
    metrics = {
        "best/val_accuracy": champion.best.val_accuracy,
        "best/val_loss": champion.best.val_loss,
        "trials/complete": search.counts.complete,
        "trials/pruned": search.counts.pruned,
        "trials/failed": search.counts.failed,
    }
    tracker.close(search.uid, "COMPLETE", verdict.markdown(), metrics)
    return verdict


def _opening(config: StudyConfig, search: Search, planned: Plan) -> str:
    done, target = search.counts.done, config.study.trials
    where = f"on {planned.device} ({len(planned.devices)} workers)"
    if done >= target:
        return f"{config.study.name}: {done} of {target} trials are done already, nothing to train"
    if done:
        return f"{config.study.name}: going on after {done} of {target} trials, {where}"
    return f"{config.study.name}: {target} trials {where}"
