"""`harness replay STUDY/TRIAL`: train a trial again, alone, and compare with the record.

It goes through the sweep's engine, executors and driver; what comes of it stays in memory. What was
found is written on the trial's own run, straight to the store, in one call: the study's spool and
lock are its driver's, which may be at work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.analysis.lookup import find_trial
from harness.analysis.replay_result import ReplayResult
from harness.analysis.replay_tolerance import (
    METRICS,
    PERTURBATION,
    SIZE,
    TWINS,
    Training,
    measured,
    spread,
)
from harness.data.prepare import Prepared, prepare
from harness.errors import DataError, HarnessError, Interruption, StoreError, StudyError
from harness.executors.base import Executor, Setup
from harness.executors.devices import Demand, choose
from harness.executors.processes import ProcessExecutor
from harness.models.user_code import code_of, fingerprint, importable
from harness.results import Objective, Outcome, TrialResult
from harness.search.fixed_trials import FixedSearch
from harness.sweep.driver import Driver, Progress, ProgressDisplay
from harness.sweep.environment import doubts, facts
from harness.system.signals import Stop, interruptible
from harness.tracking.base import Tracker
from harness.tracking.in_memory import MemoryTracker
from harness.tracking.predictions import FILE, Predictions
from harness.tracking.raw_types import WEIGHTS
from harness.tracking.types import MODEL_FOLDER, RunRecord, State, StudyRun
from harness.trial import Trial, TrialSpec
from harness.workspace import Workspace, private


def replay(
    home: Workspace,
    name: str,
    *,
    watcher: ProgressDisplay,
    device: Demand = None,
    inline: bool = False,
    data_dir: Path | None = None,
    tracking_uri: str | None = None,
) -> ReplayResult:
    """Train a study's champion, `STUDY/12` or an MLflow run again; see harness.replayed.

    On a CPU where it was trained on one, unless `device` says otherwise; `inline` in this process.
    Raises StudyError and DataError for what cannot be replayed, HarnessError where it does not
    train, Interruption.
    """
    tracker = home.open_tracker(tracking_uri, reading=True)
    study, run = find_trial(tracker, name)
    title = f"{study.name}/{run.number}"
    _check_curve(study, run)
    before = run.environment or study.facts
    on_cpu = before.get("device", "").startswith("CPU")
    devices, described = choose(device or ("cpu" if on_cpu else None))
    where = Path(study.facts.get(MODEL_FOLDER, "."))
    with private(), interruptible() as stop, importable(where, Path.cwd()):
        _check_code(title, run.spec)
        prepared = _prepare(study, before, data_dir)
        why_not = doubts(run.environment, facts(prepared, described, 1, 1))
        trainer = _Trainer(prepared, study.objective, run, _Unnumbered(watcher), stop, inline)
        watcher.message(f"{title} again: {run.spec.describe()} on {described}")
        (now,) = trainer.train(devices[:1])
        recorded = _recorded(tracker, run)
        found = ReplayResult(study, run, described, tuple(why_not), recorded, now)
        if why_not and found.first is not None and not now.diverged:
            watcher.message(
                f"not to the last bit, which is not promised; {TWINS} twins, their initial weights "
                f"off by {SIZE}, will show how far rounding carries it"
            )
            twins = trainer.train(devices[:TWINS], TWINS)
            beside = spread(recorded.epochs, now.epochs, twins, prepared.sizes["validation"])
            found = replace(found, twins=tuple(twins), spread=beside)
    try:
        tracker.log_replay(run.run_id, found.word, found.metrics)
    except StoreError as error:
        found = replace(found, unwritten=str(error))
    return found


class _Unnumbered:
    """Shows what goes on, but the end of no trial: these are none of the study's."""

    def __init__(self, watcher: ProgressDisplay) -> None:
        self.message, self.refresh = watcher.message, watcher.refresh

    def ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None: ...


class _Trainer:
    """Trains one trial of a study, up to where it was pruned if it was."""

    def __init__(
        self,
        prepared: Prepared,
        objective: Objective,
        run: RunRecord,
        watcher: ProgressDisplay,
        stop: Stop,
        inline: bool,
    ) -> None:
        self._prepared, self._objective, self._run = prepared, objective, run
        self._watcher, self._stop, self._inline = watcher, stop, inline

    def train(self, devices: Sequence[str], twins: int = 0) -> list[Training]:
        """The trial itself, alone, or twins of it: one at a time for each of `devices`."""
        specs = [self._run.spec] * (twins or 1)
        uid = f"{self._run.uid}/{'twin' if twins else 'replay'}"
        pruned = self._run.state == "PRUNED"
        until = self._run.epochs[-1].epoch if pruned else None
        source = FixedSearch(uid, specs, until, self._objective)
        memory = MemoryTracker()
        with self._executor(devices, PERTURBATION if twins else 0.0) as executor:
            driver = Driver(
                source,
                executor,
                memory,
                self._watcher,
                target=len(specs),
                objective=self._objective,
            )
            if driver.run(self._stop) == "interrupted":
                raise Interruption("interrupted; nothing was recorded")
        ended = [run for run in memory.runs.values() if run.state != "INTERRUPTED"]
        return [_training(run, source.outcomes.get(run.number)) for run in ended]

    def _executor(self, devices: Sequence[str], perturbation: float) -> Executor:
        setups = [Setup(self._objective, each, 1, perturbation) for each in devices]
        if self._inline:
            from harness.executors.inline import InlineExecutor

            return InlineExecutor(self._prepared.training, setups[0])
        return ProcessExecutor(self._prepared.training, setups)


def _training(run: RunRecord, outcome: Outcome | None) -> Training:
    """What came of it. Raises HarnessError where it failed for another reason than its losses."""
    diverged = run.state == "FAILED" and run.reason.startswith("diverged")
    if run.state == "FAILED" and not diverged:
        raise HarnessError(f"the replay failed: {run.reason}")
    result = outcome if isinstance(outcome, TrialResult) else None
    return Training(
        run.epochs,
        run.best.epoch if run.best else None,
        run.confusion,
        result.predictions if result else None,
        result.weights if result else None,
        diverged,
    )


def _recorded(tracker: Tracker, run: RunRecord) -> Training:
    content = tracker.read_file(run.run_id, FILE)
    predictions = Predictions.from_file(content) if content else None
    return Training(
        run.epochs,
        run.best.epoch if run.best else None,
        run.confusion,
        predictions.predicted if predictions else None,
        tracker.read_file(run.run_id, WEIGHTS),
    )


def _check_curve(study: StudyRun, run: RunRecord) -> None:
    """Raises StudyError where there is not enough on record to be compared with."""
    spec, have = run.spec, [each.epoch for each in run.epochs]
    last = max(have, default=0)
    if run.state == "COMPLETE" and not spec.patience:
        last = spec.epochs
    wanted = [epoch for epoch in range(1, last + 1) if spec.evaluates(epoch)]
    why, known = "", measured(run.epochs, METRICS)
    if not wanted or have != wanted:
        why = f"its curve on record has {len(have)} of {len(wanted)} epochs"
    elif any(math.isnan(getattr(each, name)) for each in run.epochs for name in known):
        why = "its curve was lost, and `harness doctor --repair` made it again in part"
    if why:
        raise StudyError(
            f"{study.name}/{run.number} cannot be replayed: {why}; choose another trial, or see "
            f"what `harness doctor {study.name}` says"
        )


def _check_code(title: str, spec: TrialSpec) -> None:
    """Raises StudyError where its model is not what it was trained with."""
    now = fingerprint(code_of(spec.model)) if spec.model else ""
    if now != spec.code:
        raise StudyError(
            f"{title} cannot be replayed: {spec.model} is made of {now} now, it was trained with "
            f"{spec.code}; the source of then stands beside its study's run, as code-*"
        )


def _prepare(study: StudyRun, before: Mapping[str, str], data_dir: Path | None) -> Prepared:
    """The data that the study was trained on. Raises DataError where it is not the same any more,
    StudyError where the record does not say which it was."""
    split, asked = before.get("split_hash"), study.definition.get("data", {})
    try:
        prepared = prepare(**asked, data_dir=data_dir)
    except TypeError as error:
        raise StudyError(
            f"[data] of '{study.name}' cannot be prepared by this version of harness ({error}); "
            "replay it with the one that recorded it"
        ) from None
    if split is None:
        raise StudyError(
            f"'{study.name}' does not say which split of {prepared.name} it was trained on: there "
            "is nothing to compare"
        )
    if prepared.split_hash != split:
        raise DataError(
            f"{prepared.name} is not what '{study.name}' was trained on: its split has the SHA-256 "
            f"{prepared.split_hash[:16]} in {prepared.where}, on record is {split[:16]}; name the "
            "folder with the files of then by --data-dir"
        )
    return prepared
