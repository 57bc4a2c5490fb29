"""The objective of one trial in each fold of a cross-validation.

The folds' networks share most of their training examples, so these scores are not independent:
their standard deviation describes the folds, and gives no standard error of the mean (Y. Bengio
and Y. Grandvalet, JMLR 5, 2004).
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from harness.metrics import OBJECTIVE_NAMES, format_objective
from harness.results import Objective
from harness.tracking.types import RunRecord, StudyRun


@dataclass(frozen=True)
class FoldScores:
    """The objective in each fold, at the best epoch of all folds together."""

    objective: Objective
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The plain mean. The trial's own score is of all examples, so it may differ."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        """The standard deviation of a sample."""
        return statistics.stdev(self.values)

    @property
    def name(self) -> str:
        return OBJECTIVE_NAMES[self.objective]

    def describe_spread(self) -> str:
        """`0.9757 to 0.9931, sd 0.0067`."""
        low, high = self.format(min(self.values)), self.format(max(self.values))
        return f"{low} to {high}, sd {self.format(self.deviation)}"

    def format(self, value: float) -> str:
        """Format a value of the objective."""
        return format_objective(value, self.objective)

    def to_dict(self) -> dict[str, Any]:
        return {
            "objective": self.objective,
            "values": list(self.values),
            "mean": self.mean,
            "deviation": self.deviation,
        }


def name_validation_sets(study: StudyRun) -> str:
    """`the validation set`, or `the 5 folds' validation sets`."""
    return f"the {study.folds} folds' validation sets" if study.folds else "the validation set"


def is_reshuffled(study: StudyRun) -> bool:
    """Return whether each trial has folds of its own; see `[data] reshuffle`."""
    return bool(study.definition.get("data", {}).get("reshuffle", False))


def read_fold_scores(study: StudyRun, run: RunRecord) -> FoldScores | None:
    """Return the scores of a run at its best epoch; None without folds."""
    if not study.folds or run.best is None or not run.best.folds:
        return None
    return FoldScores(study.objective, tuple(run.best.folds))
