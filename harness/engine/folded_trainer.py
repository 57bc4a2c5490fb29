"""The training loop of cross-validation: each trial trains on all folds at once, and reports once.

Its members, one a fold, have the trial's settings and train in step. After each epoch their
metrics become the trial's. The best epoch is the trial's: the same in every fold, so that no fold
chooses an epoch on its own validation set alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from harness.engine.class_metrics import compute_class_metric
from harness.engine.placement import Placement
from harness.engine.slot_data import Folds
from harness.engine.trainer import Report, Trainer
from harness.engine.trial_state import BestEpoch, TrialState, is_better
from harness.engine.validation_scores import compute_pooled_interval, measure_best
from harness.metrics import get_score_metric
from harness.models.fold_weights import name_in_fold
from harness.results import EpochMetrics, Objective, TrialFailure, TrialResult
from harness.stats.regression import compute_mae_interval, compute_rmse_interval
from harness.tracking.epoch_predictions import EpochPredictions
from harness.trial import TrialSpec, derive_seed

WEIGHTED_MEANS = (
    "train_loss", "train_accuracy", "penalty", "val_loss", "learning_rate", "val_mae",
    "val_quantile_loss", "val_auc", "val_log_loss", "val_brier",
)  # fmt: skip
"""The metrics of a trial that are the folds' means, weighted by their validation examples. Apart
from AUC, the means of all validation examples are the same."""
ROOT_MEANS = ("train_rmse", "val_rmse")
FROM_CONFUSION = ("val_f1", "val_balanced_accuracy")
"""Those that are computed from the confusion matrix of all folds: the mean of the folds' F1 is
biased (G. Forman and M. Scholz, SIGKDD Explorations 12, 2010, who recommend the mean for AUC)."""


class FoldedTrainer:
    """A trainer whose trials each have a member in every fold. Its methods are `Trainer`'s."""

    def __init__(
        self,
        folds: Folds,
        objective: Objective,
        placement: Placement | None = None,
        perturbation: float = 0.0,
    ) -> None:
        self.folds, self.objective = folds, objective
        self._trainer = Trainer(folds, objective, placement, perturbation)
        self._members: dict[str, list[str]] = {}
        """The uids of each trial's members, by fold."""
        self._best: dict[str, EpochMetrics] = {}
        self._reported: dict[str, dict[str, EpochMetrics]] = {}
        """The metrics of this epoch of each trial's members that have ended it."""

    def __len__(self) -> int:
        return len(self._members)

    def add(self, uid: str, spec: TrialSpec, keep_history: bool = False) -> None:
        """Add a trial. Raises ValueError if it cannot train on this data."""
        uids = [f"{uid}#{fold}" for fold in range(len(self.folds))]
        self._members[uid] = uids
        try:
            for fold, member in enumerate(uids):
                seeded = replace(spec, seed=get_fold_seed(spec.seed, fold))
                self._trainer.add(member, seeded, keep_history, fold)
        except Exception:  # such as no memory for a later fold
            self.drop(uid)
            raise

    def drop(self, uid: str) -> None:
        """Remove a trial; its state is lost."""
        for member in self._members.pop(uid, []):
            self._trainer.drop(member)
        self._best.pop(uid, None)
        self._reported.pop(uid, None)

    def clear(self) -> list[str]:
        """Remove every trial; return their uids."""
        uids = list(self._members)
        self._trainer.clear()
        for trials in (self._members, self._best, self._reported):
            trials.clear()
        return uids

    def train_epoch(self) -> Iterator[list[Report]]:
        """Train every fold of each trial for an epoch; yield the reports of trials."""
        for reports in self._trainer.train_epoch():
            combined = [each for report in reports if (each := self._collect(report)) is not None]
            if combined:
                yield combined

    def decide(self, uid: str, keep: bool) -> TrialResult | None:
        """Continue a reported trial, or end it and return its result; see `Trainer.decide`."""
        states = self._find_members(uid)
        stopped = states[0].find_stop_reason(keep)
        if stopped is None:
            return None
        parts = [state.build_result(stopped, self.objective) for state in states]
        result = self._combine_results(states, parts, self._best[uid])
        self.drop(uid)
        return result

    def _find_members(self, uid: str) -> list[TrialState]:
        return [self._trainer.find_trial(member)[2] for member in self._members[uid]]

    def _collect(self, report: Report) -> Report | None:
        """Return the trial's report, once all members have ended the epoch or one has failed."""
        uid, _, fold = report.uid.rpartition("#")
        if uid not in self._members:
            return None  # another of its members has failed in this epoch
        if isinstance(report.outcome, TrialFailure):
            self.drop(uid)
            reason = f"fold {int(fold) + 1}: {report.outcome.reason}"
            return Report(uid, TrialFailure(reason=reason))
        reported = self._reported.setdefault(uid, {})
        reported[report.uid] = report.outcome
        if len(reported) < len(self.folds):
            return None
        del self._reported[uid]
        states = self._find_members(uid)
        by_fold = [reported[state.uid] for state in states]
        epochs = [state.last for state in states if state.last is not None]
        metrics = combine_metrics(by_fold, epochs, self.folds, self.objective)
        best = self._best.get(uid)
        if best is None or is_better(metrics, best, self.objective):
            self._best[uid] = metrics
            for state in states:
                self._trainer.keep_last(state.uid)
        return Report(uid, metrics)

    def _combine_results(
        self, states: Sequence[TrialState], parts: Sequence[TrialResult], best: EpochMetrics
    ) -> TrialResult:
        """Return the result of a trial from those of its members."""
        folds, spec = self.folds, states[0].spec
        epochs = [state.best for state in states if state.best is not None]
        more = [
            replace(epoch.metrics, **measure_best(epoch, spec, data, self.objective))  # type: ignore[arg-type]
            for epoch, data in zip(epochs, folds, strict=True)
        ]
        combined = combine_metrics(more, epochs, folds, self.objective)
        weights = {
            name_in_fold(name, fold): tensor
            for fold, part in enumerate(parts)
            for name, tensor in safetensors.torch.load(part.weights).items()
        }
        interval = mae_interval = None
        if folds.is_regression:
            predicted = torch.cat([epoch.predictions.cpu() for epoch in epochs]).numpy()
            true = torch.cat([data.val_targets for data in folds]).numpy()
            interval = compute_rmse_interval(predicted, true)
            mae_interval = compute_mae_interval(predicted, true)
        return replace(
            parts[0],
            best=replace(combined, seconds=best.seconds, time=best.time),
            seconds=sum(part.seconds for part in parts),
            confusion=tuple(tuple(row) for row in _sum_confusions(epochs).tolist()),
            predictions=self._order_predictions([part.predictions for part in parts]),
            weights=safetensors.torch.save(weights),
            interval=interval,
            mae_interval=mae_interval,
            by_epoch=_join_epoch_predictions([part.by_epoch for part in parts], self._order),
            score_metric=get_score_metric(self.objective),
            score_interval=compute_pooled_interval(epochs, spec, folds, self.objective),
        )

    @property
    def _order(self) -> slice | np.ndarray:
        """The places of the recorded examples in the folds' validation sets."""
        order = self.folds.order
        return slice(None) if order is None else order.numpy()

    def _order_predictions(self, parts: Sequence[bytes]) -> bytes:
        kind = np.float32 if self.folds.is_regression else np.uint8
        return np.frombuffer(b"".join(parts), kind)[self._order].tobytes()


def get_fold_seed(seed: int, fold: int) -> int:
    """Return the seed of a trial's member: the trial's own in the first fold."""
    return seed if fold == 0 else derive_seed("fold", seed, fold) % 2**32


def combine_metrics(
    by_fold: Sequence[EpochMetrics],
    epochs: Sequence[BestEpoch],
    folds: Folds,
    objective: Objective,
) -> EpochMetrics:
    """Return the metrics of a trial from those of its folds in one epoch.

    Those that are no mean over examples are computed from what all folds predict, but AUC.
    `folds` of the result has the objective in each fold.
    """
    weights = folds.validation_sizes
    total = sum(weights)

    def average(name: str, power: int = 1) -> float | None:
        values = [getattr(metrics, name) for metrics in by_fold]
        if any(value is None for value in values):
            return None
        pairs = zip(weights, values, strict=True)
        return math.fsum(weight * value**power for weight, value in pairs) / total

    values: dict[str, float | None] = {name: average(name) for name in WEIGHTED_MEANS}
    for name in ROOT_MEANS:
        square = average(name, 2)
        values[name] = None if square is None else math.sqrt(square)
    if by_fold[0].val_r2 is not None and values["val_rmse"] is not None:
        targets = torch.cat([data.val_targets for data in folds]).double()
        variance = float(targets.var(correction=0))
        values["val_r2"] = 1 - values["val_rmse"] ** 2 / variance if variance else 0.0
    if not folds.is_regression:
        confusion = _sum_confusions(epochs)
        values["val_accuracy"] = int(confusion.diagonal().sum()) / total
    for name in FROM_CONFUSION:
        if getattr(by_fold[0], name) is not None:
            unused = confusion.new_empty(0)
            metric = name.removeprefix("val_")
            values[name] = float(compute_class_metric(metric, unused, unused, confusion))  # type: ignore[arg-type]
    return replace(
        by_fold[0],
        **values,  # type: ignore[arg-type]
        seconds=sum(metrics.seconds for metrics in by_fold),
        time=max(metrics.time for metrics in by_fold),
        folds=tuple(metrics.get_objective(objective) for metrics in by_fold),
    )


def _sum_confusions(epochs: Sequence[BestEpoch]) -> Tensor:
    return torch.stack([epoch.confusion for epoch in epochs]).sum(0)


def _join_epoch_predictions(files: Sequence[bytes], order: slice | np.ndarray) -> bytes:
    """Join the folds' predictions after every epoch, as `EpochPredictions` of all examples."""
    if not all(files):
        return b""
    parts = [EpochPredictions.from_bytes(content) for content in files]
    losses = [each.losses for each in parts if each.losses is not None]
    return EpochPredictions(
        parts[0].epochs,
        np.concatenate([each.true for each in parts])[order],
        np.concatenate([each.predicted for each in parts], axis=1)[:, order],
        np.concatenate(losses, axis=1)[:, order] if losses else None,
    ).to_bytes()
