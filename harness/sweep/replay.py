"""`harness replay STUDY/TRIAL`: train a trial again, alone, and compare it with the record.

The trial goes through the sweep's engine, executors and driver, and its result stays in memory.
The comparison is written to the trial's run in one call, past the outbox: the study's outbox and
lock belong to its driver, which may be running.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.analysis.formatting import format_count
from harness.analysis.lookup import find_trial
from harness.analysis.replay_result import ReplayResult
from harness.analysis.replay_tolerance import (
    METRIC_NAMES,
    PERTURBATION,
    PERTURBATION_TEXT,
    TWINS,
    TrainingRecord,
    compare_weights,
    compare_with_twins,
    list_measured_metrics,
)
from harness.data.prepare import PreparedDataset
from harness.errors import HarnessError, Interruption, StoreError, StudyError
from harness.executors.base import Executor, Setup
from harness.executors.devices import DeviceOption, choose_devices
from harness.executors.registry import ExecutorOptions, create_executor
from harness.models.user_code import importable_from
from harness.results import Objective, Outcome, TrialResult
from harness.search.fixed_trials import FixedSearch
from harness.sweep.driver import Driver
from harness.sweep.environment import collect_environment, list_replay_caveats
from harness.sweep.final_model import FinalTraining
from harness.sweep.process_state import use_process
from harness.sweep.progress import MessagesOnly, ProgressDisplay
from harness.sweep.recorded_inputs import check_recorded_code, prepare_recorded_data
from harness.system.signals import StopFlag
from harness.tracking.base import Tracker
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.predictions import PREDICTIONS_FILE, Predictions
from harness.tracking.raw_types import FINAL_WEIGHTS_FILE, WEIGHTS_FILE
from harness.tracking.types import MODEL_FOLDER_FACT, RunRecord, StudyRun
from harness.workspace import Workspace


def replay(
    workspace: Workspace,
    name: str,
    *,
    watcher: ProgressDisplay,
    device: DeviceOption = None,
    inline: bool = False,
    data_dir: Path | None = None,
    tracking_uri: str | None = None,
) -> ReplayResult:
    """Train a recorded trial again and compare the two.

    Args:
        name: a study (its champion), a trial `STUDY/12` or an MLflow run id.
        device: None takes the CPU if the trial was trained on one.
        inline: train in this process.

    Raises:
        StudyError, DataError: the trial cannot be replayed.
        HarnessError: the training failed.
        Interruption: a signal stopped it.
    """
    watcher.stage("reading the record")
    tracker = workspace.open_tracker(tracking_uri, reading=True)
    study, run = find_trial(tracker, name)
    title = f"{study.name}/{run.number}"
    _check_curve(study, run)
    before = run.environment or study.facts
    on_cpu = before.get("device", "").startswith("CPU")
    devices, description = choose_devices(device or ("cpu" if on_cpu else None))
    folder = Path(study.facts.get(MODEL_FOLDER_FACT, "."))
    with use_process() as stop, importable_from(folder, Path.cwd()):
        check_recorded_code(f"{title} cannot be replayed", run.spec)
        watcher.stage("preparing the data")
        prepared = prepare_recorded_data(study, before, data_dir, run.split)
        here = collect_environment(prepared, description, workers=1, slots=1)
        caveats = list_replay_caveats(run.environment, here)
        trainer = _ReplayTrainer(
            prepared, study.objective, run, MessagesOnly(watcher), stop, inline
        )
        watcher.stage(f"replaying {title}: {run.spec.describe()} on {description}")
        (now,) = trainer.train(devices[:1])
        watcher.stage("comparing with the record")
        recorded = _load_recorded(tracker, run)
        result = ReplayResult(study, run, description, tuple(caveats), recorded, now)
        if caveats and result.first_difference is not None and not now.diverged:
            watcher.message(
                f"the result is not identical, and is not expected to be here; training {TWINS} "
                f"copies whose initial weights differ by {PERTURBATION_TEXT}, to measure what "
                "rounding changes"
            )
            watcher.stage(f"training {TWINS} perturbed copies")
            twins = trainer.train(devices[:TWINS], TWINS)
            twin_spread = compare_with_twins(
                recorded.epochs, now.epochs, twins, prepared.sizes["validation"]
            )
            result = replace(result, twins=tuple(twins), twin_comparison=twin_spread)
        weights = tracker.read_file(run.run_id, FINAL_WEIGHTS_FILE) if study.is_retrained else None
        if weights is not None:
            watcher.stage("replaying its final model")
            difference = compare_weights(weights, trainer.train_final(devices[:1]))
            result = replace(result, final_difference=difference)
    try:
        tracker.log_replay(run.run_id, result.agreement, result.metrics)
    except StoreError as error:
        result = replace(result, unrecorded_reason=str(error))
    return result


class _ReplayTrainer:
    """Trains one trial of a study, up to the epoch where it was pruned, if it was."""

    def __init__(
        self,
        prepared: PreparedDataset,
        objective: Objective,
        run: RunRecord,
        watcher: ProgressDisplay,
        stop: StopFlag,
        inline: bool,
    ) -> None:
        self._prepared, self._objective, self._run = prepared, objective, run
        self._watcher, self._stop, self._inline = watcher, stop, inline

    def train(self, devices: Sequence[str], twins: int = 0) -> list[TrainingRecord]:
        """Train the trial alone, or `twins` copies of it; each device trains one at a time."""
        specs = [self._run.spec] * (twins or 1)
        uid = f"{self._run.uid}/{'twin' if twins else 'replay'}"
        pruned = self._run.state == "PRUNED"
        until = self._run.epochs[-1].epoch if pruned else None
        source = FixedSearch(uid, specs, until, self._objective)
        runs = self._run_all(source, devices, len(specs), PERTURBATION if twins else 0.0)
        return [_to_training(run, source.outcomes.get(run.number)) for run in runs]

    def train_final(self, devices: Sequence[str]) -> bytes | None:
        """Train the final model of the run, and return its weights; None if it diverged."""
        source = FinalTraining(f"{self._run.uid}/final", [self._run], self._objective)
        (run,) = self._run_all(source, devices, 1)
        return _to_training(run, source.outcomes.get(run.number)).weights

    def _run_all(
        self, source: FixedSearch, devices: Sequence[str], count: int, perturbation: float = 0.0
    ) -> list[RunRecord]:
        memory = InMemoryTracker()
        with self._executor(devices, perturbation) as executor:
            driver = Driver(
                source, executor, memory, self._watcher, target=count, objective=self._objective
            )
            if driver.run(self._stop) == "interrupted":
                raise Interruption("interrupted; nothing was recorded")
        return [run for run in memory.runs.values() if run.state != "INTERRUPTED"]

    def _executor(self, devices: Sequence[str], perturbation: float) -> Executor:
        setups = [Setup(self._objective, device, 1, perturbation) for device in devices]
        options = ExecutorOptions(self._prepared.training, setups, trials=len(setups))
        return create_executor("inline" if self._inline else "processes", options)


def _to_training(run: RunRecord, outcome: Outcome | None) -> TrainingRecord:
    """Collect a replay's results. Raises HarnessError if it failed without diverging."""
    diverged = run.state == "FAILED" and run.reason.startswith("diverged")
    if run.state == "FAILED" and not diverged:
        raise HarnessError(f"the replay failed: {run.reason}")
    result = outcome if isinstance(outcome, TrialResult) else None
    return TrainingRecord(
        run.epochs,
        run.best.epoch if run.best else None,
        run.confusion,
        result.predictions if result else None,
        result.weights if result else None,
        diverged,
    )


def _load_recorded(tracker: Tracker, run: RunRecord) -> TrainingRecord:
    content = tracker.read_file(run.run_id, PREDICTIONS_FILE)
    predictions = Predictions.from_bytes(content) if content else None
    return TrainingRecord(
        run.epochs,
        run.best.epoch if run.best else None,
        run.confusion,
        predictions.predicted if predictions else None,
        tracker.read_file(run.run_id, WEIGHTS_FILE),
    )


def _check_curve(study: StudyRun, run: RunRecord) -> None:
    """Raises StudyError if the record's learning curve is incomplete."""
    spec, recorded = run.spec, [metrics.epoch for metrics in run.epochs]
    last = max(recorded, default=0)
    if run.state == "COMPLETE" and not spec.patience:
        last = spec.epochs
    expected = [epoch for epoch in range(1, last + 1) if spec.is_evaluated(epoch)]
    problem, names = "", list_measured_metrics(run.epochs, METRIC_NAMES)
    if not expected or recorded != expected:
        problem = (
            f"its curve on record has {len(recorded)} of {format_count(len(expected), 'epoch')}"
        )
    elif any(math.isnan(getattr(metrics, name)) for metrics in run.epochs for name in names):
        problem = "its curve was lost, and `harness doctor --repair` restored only a part of it"
    if problem:
        raise StudyError(
            f"{study.name}/{run.number} cannot be replayed: {problem}; choose another trial, or "
            f"run: harness doctor {study.name}"
        )
