"""The transforms of a regression's target, between its own units and those of the network.

The network predicts (u - mean) / std, with the mean and standard deviation of u over the training
set:

standard  u = y
log       u = log y, for training targets above 0. A target counts as at least a tenth of the least
          training target and at most ten times the largest; predictions have the same bounds.
quantile  u = the standard normal quantile of y's rank among the training targets, linear between
          KNOTS knots. Predictions are between the least and the largest training target.

All statistics come from the training targets alone. They are buffers of the model, see
`normalization`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.trial import TargetTransform

if TYPE_CHECKING:  # `harness doctor` reads the shapes without torch
    from torch import Tensor

KNOTS = 257
"""Knots of `quantile`, evenly spaced in u."""
LOG_MARGIN = math.log(10)
"""How far `log` may leave the range of the training targets, in u."""
Statistics = Mapping[str, "Tensor"]
"""The buffers of a transform by name, see STATISTIC_SHAPES."""

_MOMENTS: dict[str, tuple[int, ...]] = {"target_mean": (), "target_std": ()}
_BOUNDS: dict[str, tuple[int, ...]] = {"target_low": (), "target_high": ()}
STATISTIC_SHAPES: dict[TargetTransform, dict[str, tuple[int, ...]]] = {
    "standard": _MOMENTS,
    "log": _MOMENTS | _BOUNDS,
    "quantile": _MOMENTS | _BOUNDS | {"target_knots": (KNOTS,)},
}
"""The shape of each buffer: mean and standard deviation of u, the least and the largest u, and y at
the knots."""


def fit_transform(name: TargetTransform, targets: npt.NDArray[np.float64]) -> dict[str, Tensor]:
    """Return the float64 statistics of training targets [n] in their own units.

    Raises ValueError if the transform does not suit them.
    """
    import torch

    if name == "log":
        if targets.min() <= 0:
            raise ValueError(explain_log(targets.min().item(), "training set"))
        logs = np.log(targets)
        fitted = _to_tensors(low=logs.min() - LOG_MARGIN, high=logs.max() + LOG_MARGIN)
    elif name == "quantile":
        values, scores = _rank_targets(targets)
        grid = np.linspace(scores[0], scores[-1], KNOTS)
        knots = np.interp(grid, scores, values)
        fitted = _to_tensors(low=scores[0], high=scores[-1], knots=knots)
    else:
        fitted = {}
    u = _transform(name, torch.from_numpy(targets), fitted).numpy()
    return _to_tensors(mean=u.mean(), std=u.std() or 1.0) | fitted


def explain_log(least: float, where: str) -> str:
    """Return the error for `log` with a target of 0 or less in a training set."""
    return (
        f"target_transform: log needs targets above 0, but the least in the {where} is {least:g}; "
        'use "standard" or "quantile"'
    )


def to_network_units(name: TargetTransform, targets: Tensor, statistics: Statistics) -> Tensor:
    """Transform targets [n] in their own units to what the network predicts, float64."""
    exact = {key: value.double() for key, value in statistics.items()}
    u = _transform(name, targets.double(), exact)
    return (u - exact["target_mean"]) / exact["target_std"]


def to_target_units(name: TargetTransform, output: Tensor, statistics: Statistics) -> Tensor:
    """Transform the network's output [...] back to the target's own units."""
    u = output * statistics["target_std"] + statistics["target_mean"]
    if name == "standard":
        return u
    low, high = statistics["target_low"], statistics["target_high"]
    u = u.clamp(low, high)
    if name == "log":
        return u.exp()
    knots = statistics["target_knots"]
    place = (u - low) * ((KNOTS - 1) / (high - low))
    left = place.floor().clamp(0, KNOTS - 2)
    index = left.nan_to_num().long()  # a diverged network's outputs stay NaN
    return knots[index].lerp(knots[index + 1], place - left)


def compute_errors(
    name: TargetTransform, predicted: Tensor, true: Tensor, statistics: Statistics
) -> Tensor:
    """Return the errors [n] of predictions in the network's units, in which the loss is."""
    if name == "standard":
        return (predicted - true) / statistics["target_std"]
    left, right = (to_network_units(name, each, statistics) for each in (predicted, true))
    return left - right


def _transform(name: TargetTransform, y: Tensor, statistics: Statistics) -> Tensor:
    """Return u of targets [n]."""
    if name == "standard":
        return y
    low, high = statistics["target_low"], statistics["target_high"]
    if name == "log":
        return y.clamp_min(0).log().clamp(low, high)
    import torch

    knots = statistics["target_knots"]
    index = torch.searchsorted(knots, y, right=True).clamp(1, KNOTS - 1)
    left, right = knots[index - 1], knots[index]
    tiny = torch.finfo(knots.dtype).tiny
    share = ((y - left) / (right - left).clamp_min(tiny)).clamp(0, 1)
    return low + (index - 1 + share) * ((high - low) / (KNOTS - 1))


def _rank_targets(
    targets: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the distinct targets in ascending order, and the normal quantiles of their ranks.

    Equal targets share the middle of their ranks.
    """
    import torch

    values, counts = np.unique(targets, return_counts=True)
    if len(values) == 1:
        return values + np.array([-1.0, 1.0]), np.array([-1.0, 1.0])
    shares = (counts.cumsum() - counts / 2) / len(targets)
    return values, torch.special.ndtri(torch.from_numpy(shares)).numpy()


def _to_tensors(**values: npt.ArrayLike) -> dict[str, Tensor]:
    import torch

    return {
        f"target_{name}": torch.as_tensor(np.asarray(value, np.float64))
        for name, value in values.items()
    }
