"""The training loop: many different trials train at once, an epoch at a time.

The trainer trains each group for an epoch, reports its trials, and waits until each of them was
decided on. Trials join and leave between epochs. A trial's result does not depend on the others:
bit for bit where it trains alone on one thread, up to rounding where it is fused with others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.engine.cpu_placement import CpuPlacement
from harness.engine.device_data import DeviceData
from harness.engine.fold_placement import FoldPlacement
from harness.engine.fused_group import FusedGroup
from harness.engine.placement import GpuPlacement, Placement, free_device_memory
from harness.engine.slot_data import Folds
from harness.engine.trial_state import (
    BestEpoch,
    EpochScores,
    TrialState,
    find_divergence,
    is_better,
    perturb,
)
from harness.engine.validation import ValidationMetrics
from harness.engine.validation_scores import check_objective, compute_costs, measure_objective
from harness.results import EpochMetrics, Objective, TrialFailure, TrialResult
from harness.trial import TrialSpec


@dataclass(frozen=True)
class Report:
    """One trial's metrics or failure after an epoch."""

    uid: str
    outcome: EpochMetrics | TrialFailure
    """After metrics, `Trainer.decide` must be called; after a failure the trial is removed."""


class Trainer:
    """Trains the trials of one device. `add` and `drop` take effect at the next epoch's start."""

    def __init__(
        self,
        data: DeviceData | Folds,
        objective: Objective,
        placement: Placement | None = None,
        perturbation: float = 0.0,
    ) -> None:
        """Create a trainer; `perturbation` is the size of `perturb` for all initial weights.

        Trials on `Folds` have their best epoch chosen by the caller, who calls `keep_last`.
        """
        self.data, self.objective, self._perturbation = data, objective, perturbation
        self._folds = data.folds if isinstance(data, Folds) else (data,)
        self.groups: list[FusedGroup] = []
        self._uids: dict[str, None] = {}
        """Every trial, training or waiting, in the order in which they were added."""
        self._waiting: list[TrialState] = []
        self._changed = False
        self._placement = placement or choose_placement(data)
        self._needs_losses = objective == "val/loss" and not data.is_regression

    def __len__(self) -> int:
        return len(self._uids)

    def add(self, uid: str, spec: TrialSpec, keep_history: bool = False, fold: int = 0) -> None:
        """Add a trial. Raises ValueError if it cannot train on this data.

        With `keep_history` its result has the predictions after every epoch.
        """
        data = self._folds[fold]
        check_objective(self.objective, data)
        trial = TrialState.create(uid, spec, data, fold)
        trial.history = [] if keep_history else None
        if self._perturbation:
            trial.tensors = perturb(trial, self._perturbation)
        self._waiting.append(trial)
        self._uids[uid] = None
        self._changed = True

    def drop(self, uid: str) -> None:
        """Remove a trial and free its slot; its state is lost."""
        self._uids.pop(uid, None)
        self._waiting = [trial for trial in self._waiting if trial.uid != uid]
        for group in self.groups:
            for slot, trial in enumerate(group.trials):
                if trial is not None and trial.uid == uid:
                    group.trials[slot] = None
                    self._changed = True

    def clear(self) -> list[str]:
        """Remove every trial; return their uids."""
        uids = list(self._uids)
        self._uids, self._waiting, self.groups = {}, [], []
        return uids

    def train_epoch(self) -> Iterator[list[Report]]:
        """Train each group for an epoch; yield the reports of its trials, if any are due.

        Call `decide` for every trial reported with metrics before the next call.
        """
        if self._changed:
            self._waiting, refused = self._placement.place(self.groups, self._waiting)
            self._changed = bool(self._waiting)
            if refused:
                reason = f"needs more memory than {self.data.device} has"
                for trial in refused:
                    self.drop(trial.uid)
                yield [Report(trial.uid, TrialFailure(reason=reason)) for trial in refused]
        for group in list(self.groups):
            if any(group.trials):
                reports = self._train_group(group)
                if reports:
                    yield reports

    def decide(self, uid: str, keep: bool) -> TrialResult | None:
        """Continue a reported trial, or end it and return its result.

        It also ends, whatever `keep`, after its last epoch or when its patience is exhausted.
        """
        trial = self.find_trial(uid)[2]
        stopped = trial.find_stop_reason(keep)
        if stopped is None:
            return None
        result = trial.build_result(stopped, self.objective)
        self.drop(uid)
        return result

    def find_trial(self, uid: str) -> tuple[FusedGroup, int, TrialState]:
        """Return a training trial, with its group and slot."""
        for group in self.groups:
            for slot, trial in enumerate(group.trials):
                if trial is not None and trial.uid == uid:
                    return group, slot, trial
        raise KeyError(uid)

    def keep_last(self, uid: str) -> None:
        """Make the last validated epoch of a trial its best. Call it before the next epoch."""
        group, slot, trial = self.find_trial(uid)
        assert trial.last is not None
        trial.best = replace(trial.last, weights=group.weights(slot, trial.spec))

    def _train_group(self, group: FusedGroup) -> list[Report]:
        started = time.perf_counter()
        trained = group.train_epoch()
        trials = [(slot, trial) for slot, trial in enumerate(group.trials) if trial]
        due = any(trial.spec.is_evaluated(trial.epochs) for _, trial in trials)
        validated = group.validate() if due else None
        objectives = self._measure_objective(group, validated)
        seconds = time.perf_counter() - started
        reports = []
        for slot, trial in trials:
            trial.seconds += seconds / len(trials)
            losses = {"train_loss": trained.loss[slot]}
            scores = validated if trial.spec.is_evaluated(trial.epochs) else None
            if scores is not None:
                losses["val_loss"] = scores.loss[slot]
            divergence = find_divergence(trial.epochs, **losses)
            if divergence:
                self.drop(trial.uid)
                reports.append(Report(trial.uid, TrialFailure(reason=divergence)))
            elif scores is not None:
                metrics = EpochMetrics(
                    epoch=trial.epochs,
                    **losses,
                    penalty=group.penalty(slot, trial.spec),
                    learning_rate=trained.learning_rate[slot],
                    seconds=trial.seconds - trial.reported_seconds,
                    time=time.time(),
                    **trained.metrics[slot],
                    **scores.metrics[slot] | objectives[slot],
                )
                trial.reported_seconds = trial.seconds
                if trial.history is not None:
                    kept = self._keep_losses(trial, scores, slot)
                    trial.history.append(EpochScores(trial.epochs, scores.predictions[slot], kept))
                is_folded = isinstance(self.data, Folds)
                best = trial.best.metrics if trial.best else None
                if is_folded or best is None or is_better(metrics, best, self.objective):
                    epoch = BestEpoch(
                        metrics,
                        {} if is_folded else group.weights(slot, trial.spec),
                        scores.confusion[slot],
                        scores.predictions[slot],
                        scores.select_outputs([slot])[:, 0] if scores.outputs else None,
                    )
                    if is_folded:
                        trial.last = epoch
                    else:
                        trial.best = epoch
                reports.append(Report(trial.uid, metrics))
        return reports

    def _measure_objective(
        self, group: FusedGroup, validated: ValidationMetrics | None
    ) -> list[dict[str, float]]:
        """Return the metrics that only this objective needs, for each slot."""
        measured: list[dict[str, float]] = [{} for _ in group.trials]
        if validated is None:
            return measured
        for data in {id(trial.data): trial.data for trial in group.trials if trial}.values():
            specs = [trial.spec if trial and trial.data is data else None for trial in group.trials]
            with torch.inference_mode():
                of_data = measure_objective(self.objective, validated, specs, data)
            measured = [each | more for each, more in zip(measured, of_data, strict=True)]
        return measured

    def _keep_losses(
        self, trial: TrialState, scores: ValidationMetrics, slot: int
    ) -> Tensor | None:
        """Return each example's part of the objective, where the predictions do not give it."""
        if self._needs_losses:
            return scores.example_losses[slot]
        with torch.inference_mode():
            return compute_costs(self.objective, trial.spec, scores, slot, trial.data)


def choose_placement(data: DeviceData | Folds) -> Placement:
    """Return the placement for the data's device."""
    if data.device.type != "cuda":
        return CpuPlacement(data)
    if isinstance(data, Folds):
        return FoldPlacement(data, lambda: free_device_memory(data.device))
    return GpuPlacement(data, lambda: free_device_memory(data.device))
