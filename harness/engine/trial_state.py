"""The state of a trial in training: its progress, its best epoch, when it stops, its result."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from harness.engine.device_data import DeviceData
from harness.engine.parameter_buffer import NamedTensors, TrialTensors
from harness.engine.validation_scores import compute_objective_interval, measure_best
from harness.errors import ConfigError
from harness.metrics import get_score_metric, is_higher_better
from harness.models.custom import CustomModel, network_input_shape
from harness.models.mlp import build_model
from harness.models.tabular import TabularNet
from harness.results import EpochMetrics, Objective, StopReason, TrialResult
from harness.stats.regression import compute_mae_interval, compute_rmse_interval
from harness.tracking.epoch_predictions import EpochPredictions
from harness.trial import REGRESSION_LOSSES, TrialSpec, derive_seed

INITIAL_EXAMPLES = 2000
"""Training examples from which a network is initialized, about."""


@dataclass
class BestEpoch:
    """A trial's best epoch so far."""

    metrics: EpochMetrics
    weights: NamedTensors
    confusion: Tensor
    """[C, C], validation examples by [true][predicted]."""
    predictions: Tensor
    """[n] uint8; of a regression float32, in the target's own units."""
    outputs: Tensor | None = None
    """The logits, [n, C]; None for a regression."""


class EpochScores(NamedTuple):
    """What a confirmation run keeps of every epoch."""

    epoch: int
    predictions: Tensor
    """[n], as in `BestEpoch`."""
    losses: Tensor | None
    """float32 [n], each example's part of the objective, lower is better; None where the
    predictions give it."""


@dataclass(eq=False)
class TrialState:
    """A trial from when it is added until it ends."""

    uid: str
    spec: TrialSpec
    tensors: TrialTensors | None
    """Its tensors while it is in no group; None while it is in one."""
    parameters: int
    """Number of trainable parameters."""
    data: DeviceData
    """What it is trained and validated on."""
    fold: int = 0
    """The number of its fold, from 0; 0 without folds."""
    epochs: int = 0
    """Epochs trained."""
    best: BestEpoch | None = None
    last: BestEpoch | None = None
    """Its last validated epoch without weights, where the trainer's caller decides what is best."""
    seconds: float = 0.0
    """Its share of the time that its groups' epochs took."""
    reported_seconds: float = 0.0
    """The part of `seconds` that its metrics have already reported."""
    history: list[EpochScores] | None = None
    """Its predictions after every validated epoch; None if they are not kept."""

    @classmethod
    def create(cls, uid: str, spec: TrialSpec, data: DeviceData, fold: int = 0) -> TrialState:
        """Create a trial with its initial weights. Raises ValueError if `data` does not suit it."""
        if spec.batch_size > len(data):
            raise ValueError(
                f"batch_size {spec.batch_size} is more than the {len(data)} training examples"
            )
        if spec.augment and len(data.shape) not in (2, 3):
            raise ValueError(
                f"augment: works on images only; these examples have shape {list(data.shape)}"
            )
        if data.is_regression and spec.loss not in REGRESSION_LOSSES:
            raise ValueError(f"loss: {spec.loss} is for classes; a regression needs mse")
        if data.is_regression and spec.class_weights != "none":
            raise ValueError("class_weights: a regression has no classes to weight; leave it out")
        if not data.is_regression and spec.target_transform != "standard":
            raise ValueError("target_transform: is for a regression; leave it out")
        data.get_target(spec.target_transform)
        if spec.loss == "quantile" and not data.is_regression:
            raise ValueError("loss: quantile is for a regression")
        try:
            model = build_model(
                spec,
                data.classes,
                *input_statistics(spec, data),
                data.dtype,
                features=data.features,
            )
        except ConfigError as error:
            raise ValueError(str(error)) from error
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        params = {name: parameter.detach() for name, parameter in named}
        count = sum(tensor.numel() for tensor in params.values())
        tensors = TrialTensors(params)
        if isinstance(model, CustomModel) and isinstance(model.network, TabularNet):
            initialize_network(model.network, spec, data)
            state = model.state_dict()
            tensors.statistics = {name: state[name] for name in state if name not in params}
        return cls(uid, spec, tensors, count, data, fold)

    def find_stop_reason(self, keep: bool) -> StopReason | None:
        """Return why the trial ends after the epoch just reported, or None if it continues."""
        assert self.best is not None
        if self.epochs == self.spec.epochs:
            return "finished"
        if not keep:
            return "pruned"
        if self.spec.patience and self.epochs - self.best.metrics.epoch >= self.spec.patience:
            return "early"
        return None

    def build_result(self, stopped: StopReason, objective: Objective) -> TrialResult:
        """Return the best epoch's metrics, predictions and weights, for `mlp.load_model`."""
        best, data = self.best, self.data
        assert best is not None
        mean, inv_std = input_statistics(self.spec, data)
        weights = {"mean": mean, "inv_std": inv_std} | best.weights
        interval = mae_interval = None
        if data.is_regression:
            weights |= data.get_target(self.spec.target_transform).statistics
            predictions = best.predictions.cpu().numpy(), data.val_targets.numpy()
            interval = compute_rmse_interval(*predictions)
            mae_interval = compute_mae_interval(*predictions)
        more = measure_best(best, self.spec, data, objective)
        steps = best.metrics.epoch * (len(data) // self.spec.batch_size)
        if self.spec.batch_norm != "none":
            for layer in range(len(self.spec.hidden)):
                weights[f"norms.{layer}.num_batches_tracked"] = torch.tensor(steps)
        return TrialResult(
            best=replace(best.metrics, **more),  # type: ignore[arg-type]
            epochs=self.epochs,
            stopped=stopped,
            parameters=self.parameters,
            seconds=self.seconds,
            confusion=tuple(tuple(row) for row in best.confusion.tolist()),
            predictions=best.predictions.cpu().numpy().tobytes(),
            weights=safetensors.torch.save({name: t.cpu() for name, t in weights.items()}),
            interval=interval,
            mae_interval=mae_interval,
            by_epoch=build_epoch_predictions(self.history, data) if self.history else b"",
            score_metric=get_score_metric(objective),
            score_interval=compute_objective_interval(best, self.spec, data, objective),
        )


def build_epoch_predictions(history: list[EpochScores], data: DeviceData) -> bytes:
    """Return the content of a file of `EpochPredictions`."""
    predicted = torch.stack([each.predictions for each in history]).cpu().numpy()
    losses = [each.losses for each in history if each.losses is not None]
    return EpochPredictions(
        np.array([each.epoch for each in history], np.int32),
        data.val_targets.numpy().astype(predicted.dtype),
        predicted,
        torch.stack(losses).float().cpu().numpy() if losses else None,
    ).to_bytes()


def input_statistics(spec: TrialSpec, data: DeviceData) -> tuple[Tensor, Tensor]:
    """Return mean and inverse standard deviation in the shape of the trial's network input."""
    shape = network_input_shape(data.shape) if spec.model else data.mean.shape
    return data.mean.cpu().view(shape), data.inv_std.cpu().view(shape)


def initialize_network(network: TabularNet, spec: TrialSpec, data: DeviceData) -> None:
    """Initialize from the training examples, or from some of many; seeded by `spec.seed`."""
    rows = data.rows[:: max(1, len(data) // INITIAL_EXAMPLES)]
    x = (data.examples[rows].to(data.dtype) - data.mean) * data.inv_std
    labels = data.get_target(spec.target_transform).labels  # in the units of the output
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("init from data", spec.seed))
        network.initialize_from(x.cpu(), labels[rows].cpu())


def perturb(trial: TrialState, size: float) -> TrialTensors:
    """Return a new trial's tensors with every parameter p changed to p * (1 + size * z).

    z is standard normal, drawn for each element and seeded by the trial's uid: twins with the same
    spec differ, and each repeats exactly. Computed in float64: in float32, 1 + 1e-7 * z keeps
    almost no digits.
    """
    assert trial.tensors is not None
    generator = torch.Generator().manual_seed(derive_seed("perturbation", trial.uid))
    params = {}
    for name, tensor in trial.tensors.params.items():
        z = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        params[name] = (tensor.double() * (1 + size * z)).to(tensor.dtype)
    return TrialTensors(params, statistics=trial.tensors.statistics)


def find_divergence(epoch: int, **losses: float) -> str | None:
    """Describe the first of an epoch's losses that is not finite; None if all are."""
    for name, value in losses.items():
        if not math.isfinite(value):
            return f"diverged: {name.replace('_', '/')} is {value} in epoch {epoch}"
    return None


def is_better(metrics: EpochMetrics, best: EpochMetrics, objective: Objective) -> bool:
    """Return whether an epoch is strictly better: of equal epochs the first is kept."""
    now, before = metrics.get_objective(objective), best.get_objective(objective)
    return now > before if is_higher_better(objective) else now < before
