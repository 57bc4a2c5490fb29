"""The interval of a regression's predictions, from the model's errors on the validation set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.stats.conformal import COVERAGE, compute_half_width
from harness.tracking.predictions import PREDICTIONS_FILE, Predictions
from harness.tracking.types import RunRecord

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

DESCRIPTION = (
    f"{COVERAGE:.0%} split-conformal, from the errors on the validation set, on which the model "
    "was chosen too"
)


def measure_half_width(tracker: Tracker, run: RunRecord) -> float | None:
    """Return half the width of the 90 % interval of a regression's predictions, if it is known."""
    content = tracker.read_file(run.run_id, PREDICTIONS_FILE)
    predictions = Predictions.from_bytes(content) if content else None
    if predictions is None or not predictions.is_regression:
        return None
    true, predicted = predictions.to_array()
    return compute_half_width(true, predicted)
