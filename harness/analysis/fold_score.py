"""What the champion of a study with folds reaches on new examples, without selection bias.

Every trial has predicted all examples, each by a network that was not trained on it. The bootstrap
over these examples repeats the choice of the best trial; see `harness.stats.bootstrap_selection`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.metrics import Score
from harness.results import Objective
from harness.stats.bootstrap_selection import correct_best
from harness.stats.regression import compute_pinball_losses
from harness.tracking.predictions import PREDICTIONS_FILE, Predictions
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

MOST_TRIALS = 200
"""The best trials among which the choice is repeated; the others would not be chosen."""
OBJECTIVES: tuple[Objective, ...] = ("val/accuracy", "val/rmse", "val/mae", "val/quantile_loss")
"""The objectives to which each prediction adds its own part."""

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class FoldScore:
    """The score of the champion's settings over all folds, corrected for selection."""

    value: float
    interval: tuple[float, float]
    """95 %, for the chance in examples and in the choice of the trial."""
    trials: int
    """Trials among which the choice was repeated."""
    examples: int
    score: Score

    def describe(self) -> str:
        """`0.9310 (95 %: 0.9021 to 0.9552), corrected for selection`."""
        return f"{self.format_value()}, corrected for selection"

    def format_value(self) -> str:
        """`0.9310 (95 %: 0.9021 to 0.9552)`."""
        bounds = self.score.format_range(self.interval)
        return f"{self.score.format_value(self.value)} (95 %: {bounds})"

    def metrics(self) -> dict[str, float]:
        """Return MLflow metrics of the study's run."""
        name, (low, high) = self.score.field_name, self.interval
        return {
            f"folds/{name}_corrected": self.value,
            f"folds/{name}_low": low,
            f"folds/{name}_high": high,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "value": self.value,
            "interval": self.interval,
            "trials": self.trials,
            "examples": self.examples,
        }


def compute_fold_score(tracker: Tracker, study: StudyRun, champion: RunRecord) -> FoldScore | None:
    """Correct the score of a study with folds for the choice of its best trial.

    None without folds, for a grid or list, for a champion that confirmation runs chose, if a file
    is missing, and for objectives that the predictions do not determine.
    """
    if not study.folds or study.is_grid_or_list or study.objective not in OBJECTIVES:
        return None
    runs = study.rank_trials()[:MOST_TRIALS]
    if study.confirmation_runs or len(runs) < 2:
        return None
    files = tracker.read_files([run.run_id for run in runs], PREDICTIONS_FILE)
    costs, scores = [], []
    for run in runs:
        content = files.get(run.run_id)
        predictions = Predictions.from_bytes(content) if content else None
        if predictions is None:
            return None
        cost, score = _measure_examples(study, run, *predictions.to_array())
        costs.append(cost)
        scores.append(score)
    corrected = correct_best(np.stack(costs), np.stack(scores))
    value, interval = corrected.value, corrected.interval
    if study.score.metric == "val/rmse":
        value, interval = math.sqrt(value), (math.sqrt(interval[0]), math.sqrt(interval[1]))
    return FoldScore(value, interval, len(runs), len(costs[0]), study.score)


def _measure_examples(
    study: StudyRun, run: RunRecord, true: Values, predicted: Values
) -> tuple[Values, Values]:
    """Return each example's part of the objective, lower is better, and of the score."""
    if study.classes:
        right = true == predicted
        return 1 - right, right
    if study.objective == "val/quantile_loss":
        losses = compute_pinball_losses(predicted, true, run.spec.quantile)
        return losses, losses
    squares = np.square(predicted.astype(np.float64) - true)
    return np.abs(predicted - true) if study.objective == "val/mae" else squares, squares
