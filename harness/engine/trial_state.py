"""One trial under training: what it is, how far it has come, its best epoch, how it ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from harness.engine.device_data import DeviceData
from harness.engine.parameter_buffer import Named, State
from harness.errors import ConfigError
from harness.metrics import higher_is_better
from harness.models.custom import shape_of
from harness.models.mlp import made
from harness.results import EpochMetrics, Objective, Stopped, TrialResult
from harness.stats.regression import rmse_interval
from harness.trial import TrialSpec, derived_seed


@dataclass
class Best:
    """A member's best epoch so far."""

    metrics: EpochMetrics
    weights: Named
    confusion: Tensor
    """[C, C], validation examples by [true][predicted]."""
    predictions: Tensor
    """[n] uint8; of a regression float32, in the target's own units."""


@dataclass(eq=False)
class TrialState:
    """A trial between its joining and its end."""

    uid: str
    spec: TrialSpec
    state: State | None
    """As it was when it last left a cell; None while it is in one."""
    parameters: int
    """Number of trainable ones."""
    epochs: int = 0
    """Trained."""
    best: Best | None = None
    seconds: float = 0.0
    """Its share of the time that its epochs took."""
    reported: float = 0.0
    """How many of these seconds its metrics have told of."""

    @classmethod
    def fresh(cls, uid: str, spec: TrialSpec, data: DeviceData) -> TrialState:
        """With its initial weights. Raises ValueError where it cannot train on this data."""
        if spec.batch_size > len(data):
            raise ValueError(
                f"batch_size {spec.batch_size} is more than the {len(data)} training examples"
            )
        if spec.augment and len(data.shape) not in (2, 3):
            raise ValueError(f"augment: for pictures; the examples are {list(data.shape)}")
        if data.regression and spec.loss != "mse":
            raise ValueError(f"loss: {spec.loss} tells classes apart; a regression takes mse")
        try:
            model = made(spec, data.classes, *statistics(spec, data), data.dtype)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        params = {name: parameter.detach() for name, parameter in named}
        return cls(uid, spec, State(params), sum(tensor.numel() for tensor in params.values()))

    def ends(self, keep: bool) -> Stopped | None:
        """Why the member ends after the epoch it was judged on, or None where it goes on."""
        assert self.best is not None
        if self.epochs == self.spec.epochs:
            return "finished"
        if not keep:
            return "pruned"
        if self.spec.patience and self.epochs - self.best.metrics.epoch >= self.spec.patience:
            return "early"
        return None

    def result(self, stopped: Stopped, data: DeviceData) -> TrialResult:
        """Return the best epoch's metrics, predictions and weights, for `mlp.load_model`."""
        best = self.best
        assert best is not None
        mean, inv_std = statistics(self.spec, data)
        weights = {"mean": mean, "inv_std": inv_std} | best.weights
        interval = None
        if data.regression:
            weights |= {
                "target_mean": data.mean.new_tensor(data.target_mean),
                "target_std": data.mean.new_tensor(data.target_std),
            }
            interval = rmse_interval(best.predictions.cpu().numpy(), data.val_targets.numpy())
        steps = best.metrics.epoch * (len(data) // self.spec.batch_size)
        if self.spec.batch_norm != "none":
            for layer in range(len(self.spec.hidden)):
                weights[f"norms.{layer}.num_batches_tracked"] = torch.tensor(steps)
        return TrialResult(
            best=best.metrics,
            epochs=self.epochs,
            stopped=stopped,
            parameters=self.parameters,
            seconds=self.seconds,
            confusion=tuple(tuple(row) for row in best.confusion.tolist()),
            predictions=best.predictions.cpu().numpy().tobytes(),
            weights=safetensors.torch.save({name: t.cpu() for name, t in weights.items()}),
            interval=interval,
        )


def statistics(spec: TrialSpec, data: DeviceData) -> tuple[Tensor, Tensor]:
    """Mean and inverse standard deviation in the shape that the trial's network is given."""
    shape = shape_of(data.shape) if spec.model else data.mean.shape
    return data.mean.cpu().view(shape), data.inv_std.cpu().view(shape)


def perturbed(member: TrialState, size: float) -> State:
    """A fresh member's state, every parameter p as p * (1 + size * z).

    z is standard normal, an own draw for each element, seeded by the member's uid: so twins of one
    spec differ, and each repeats exactly. Computed in float64, for 1 + 1e-7 * z has next to no
    digits in float32.
    """
    assert member.state is not None
    generator = torch.Generator().manual_seed(derived_seed("perturbation", member.uid))
    params = {}
    for name, tensor in member.state.params.items():
        drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        params[name] = (tensor.double() * (1 + size * drawn)).to(tensor.dtype)
    return State(params)


def divergence(epoch: int, **losses: float) -> str | None:
    """Which of an epoch's losses is no number, in words."""
    for name, value in losses.items():
        if not math.isfinite(value):
            return f"diverged: {name.replace('_', '/')} is {value} in epoch {epoch}"
    return None


def improves(metrics: EpochMetrics, best: EpochMetrics, objective: Objective) -> bool:
    """Strictly better: of equal epochs the first is kept."""
    now, before = metrics.objective(objective), best.objective(objective)
    return now > before if higher_is_better(objective) else now < before
