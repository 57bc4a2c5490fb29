"""The calibration of the champion's probabilities on the test set, in its one opening."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from harness.analysis.calibration_record import CalibrationRecord
from harness.engine.class_metrics import normalize_probabilities
from harness.models.calibrated import compute_class_scores
from harness.stats.calibration import CalibrationScores, compute_softmax, measure_calibration
from harness.stats.conformal import build_sets
from harness.trial import Loss

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class RegisteredCalibration:
    """The recorded calibration of the registered model, and whether that model is scaled by it."""

    record: CalibrationRecord
    is_applied: bool

    def measure(
        self, loss: Loss, logits: Tensor, true: Values, distinct: slice | Values
    ) -> dict[str, Any]:
        """Return `TestReading.calibration` of a network's logits [n, C]: plain and scaled.

        `distinct`: the first of each of equal examples, which alone count in the intervals.
        """
        plain, scaled = normalize_probabilities(loss, logits).numpy(), self.scale(loss, logits)
        record = self.record
        return {
            "plain": _measure(plain, true, distinct, record.plain_threshold).to_dict(),
            "scaled": _measure(scaled, true, distinct, record.scaled_threshold).to_dict(),
        }

    def scale(self, loss: Loss, logits: Tensor) -> Values:
        """Return the scaled probabilities [n, C]."""
        scores = compute_class_scores(loss, logits.double()).numpy()
        return compute_softmax(scores / self.record.temperature)


def _measure(
    probabilities: Values, true: Values, distinct: slice | Values, threshold: float | None
) -> CalibrationScores:
    scores = measure_calibration(probabilities, true, distinct)
    if threshold is None:
        return scores
    sets = build_sets(probabilities, threshold)
    covered = sets[np.arange(len(true)), true]
    return replace(scores, coverage=float(covered.mean()), set_size=float(sets.sum(1).mean()))
