"""The interval of a regression's predictions, from the model's errors on the validation set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.models.fold_weights import split_folds
from harness.scoring.champion import to_scale
from harness.stats.conformal import COVERAGE, compute_half_width
from harness.tracking.predictions import PREDICTIONS_FILE, Predictions
from harness.tracking.raw_types import FINAL_WEIGHTS_FILE, WEIGHTS_FILE
from harness.tracking.types import RunRecord

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

DESCRIPTION = (
    f"{COVERAGE:.0%} split-conformal, from the errors on the validation set, which also chose the "
    "model"
)


def measure_interval(tracker: Tracker, run: RunRecord) -> dict[str, Any]:
    """Return `interval`, half the width of the 90 % interval of a regression's predictions.

    It is None if it is not known. With a target transform other than `standard` the width is on the
    transformed scale, which `interval_scale` describes for `harness.scoring.champion`.
    """
    content = tracker.read_file(run.run_id, PREDICTIONS_FILE)
    predictions = Predictions.from_bytes(content) if content else None
    if predictions is None or not predictions.is_regression:
        return {"interval": None}
    scale = _read_scale(tracker, run)
    true, predicted = (to_scale(each, scale) for each in predictions.to_array())
    width = compute_half_width(true, predicted)
    return {"interval": width} | ({"interval_scale": scale} if scale else {})


def _read_scale(tracker: Tracker, run: RunRecord) -> dict[str, Any] | None:
    """Return the scale of a run's target transform, its final model's if it has one; None for
    `standard`."""
    if run.spec.target_transform == "standard":
        return None
    weights = tracker.read_file(run.run_id, FINAL_WEIGHTS_FILE)
    weights = weights or tracker.read_file(run.run_id, WEIGHTS_FILE)
    if weights is None:
        return None
    import safetensors.numpy

    state = safetensors.numpy.load(weights)
    state = next(iter(split_folds(state)), state)  # the interval needs one scale, of any fold
    low, high = float(state["target_low"]), float(state["target_high"])
    if run.spec.target_transform == "log":
        return {"log": [low, high]}
    knots = state["target_knots"].tolist()
    return {"knots": knots, "scores": np.linspace(low, high, len(knots)).tolist()}
