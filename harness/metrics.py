"""The score: the metric that models are compared by, its direction, and how it is formatted.

A classification is scored by accuracy, a regression by RMSE in the target's own units, unless the
study's objective is one of SCORE_OBJECTIVES: then that is the score. The confidence interval of an
accuracy is that of a proportion; every other one is computed with the metric and recorded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.results import Cost, EpochMetrics, HasScore, Objective, Task, count_correct
from harness.stats.proportions import compute_interval

Z_95 = 1.96
"""Half-width of a 95 % confidence interval of the normal distribution, in standard errors."""
ONE_STANDARD_ERROR = 0.6827
"""The confidence of an interval that extends one standard error to either side."""
OBJECTIVES: dict[Task, tuple[Objective, ...]] = {
    "classes": (
        "val/accuracy",
        "val/loss",
        "val/auc",
        "val/f1",
        "val/balanced_accuracy",
        "val/log_loss",
        "val/brier",
    ),
    "regression": ("val/rmse", "val/mae", "val/loss", "val/r2", "val/quantile_loss"),
}
"""The possible objectives of a study by task. The first is the default."""
OBJECTIVE_NAMES: dict[Objective, str] = {
    "val/accuracy": "accuracy",
    "val/rmse": "RMSE",
    "val/mae": "MAE",
    "val/loss": "loss",
    "val/auc": "AUC",
    "val/f1": "F1",
    "val/balanced_accuracy": "balanced accuracy",
    "val/log_loss": "log loss",
    "val/brier": "Brier score",
    "val/r2": "R2",
    "val/quantile_loss": "quantile loss",
}
SCORE_OBJECTIVES: tuple[Objective, ...] = (
    "val/auc",
    "val/f1",
    "val/balanced_accuracy",
    "val/log_loss",
    "val/brier",
    "val/r2",
    "val/quantile_loss",
)
"""The objectives that are the score too, in place of accuracy or RMSE."""
HIGHER_IS_BETTER: tuple[Objective, ...] = (
    "val/accuracy",
    "val/auc",
    "val/f1",
    "val/balanced_accuracy",
    "val/r2",
)
SHARES: tuple[Objective, ...] = ("val/auc", "val/f1", "val/balanced_accuracy")
"""The objectives with values from 0 to 1 that are no plain share of the examples."""
IN_TARGET_UNITS: tuple[Objective, ...] = ("val/rmse", "val/mae", "val/quantile_loss")
CLASS_FIELDS = ("val_auc", "val_f1", "val_balanced_accuracy", "val_log_loss", "val_brier")
"""The fields of EpochMetrics that `harness.engine.class_metrics` measures."""


@dataclass(frozen=True)
class Score:
    """The metric that models are compared by, for one task."""

    task: Task = "classes"
    target: str = ""
    """Name of the predicted number, of a regression."""
    objective: Objective | None = None
    """The study's objective, if it is one of SCORE_OBJECTIVES."""

    @property
    def metric(self) -> Objective:
        return self.objective or OBJECTIVES[self.task][0]

    @property
    def is_accuracy(self) -> bool:
        return self.metric == "val/accuracy"

    @property
    def tested(self) -> Score:
        """Accuracy or RMSE, which paired tests of stored predictions compare."""
        return Score(self.task, self.target)

    @property
    def tested_note(self) -> str:
        """` by accuracy`, where the paired tests do not compare the score; else empty."""
        return f" by {self.tested.name}" if self.objective else ""

    @property
    def name(self) -> str:
        """`accuracy`, `RMSE`, `AUC`."""
        return OBJECTIVE_NAMES[self.metric]

    @property
    def name_with_article(self) -> str:
        """`an accuracy`, `a log loss`."""
        has_vowel = self.name[0] in "aAFRM"  # read as letters: an F1, an RMSE
        return f"{'an' if has_vowel else 'a'} {self.name}"

    @property
    def full_name(self) -> str:
        """`accuracy` or `RMSE of SalePrice`."""
        return f"{self.name} of {self.target}" if self.target else self.name

    @property
    def field_name(self) -> str:
        """The field of EpochMetrics: `val_accuracy`."""
        return self.metric.replace("/", "_")

    @property
    def other_fields(self) -> tuple[str, ...]:
        """The fields of EpochMetrics that are shown after the score."""
        fields = ("val_loss",) if self.task == "classes" else ("val_mae", "val_r2")
        if self.objective:
            fields = (self.tested.field_name, *fields)
        return tuple(field for field in fields if field != self.field_name)

    @property
    def is_higher_better(self) -> bool:
        return is_higher_better(self.metric)

    @property
    def sign(self) -> int:
        """Multiply values by this to sort the best first."""
        return get_sort_sign(self.metric)

    def format_value(self, value: float, reference: float | None = None) -> str:
        """`0.9071`, or `23,145` with as many decimals as `reference` gets, by default itself.

        `undefined` for the AUC of a test set of one class, which is NaN.
        """
        if math.isnan(value):
            return "undefined"
        if self.metric not in IN_TARGET_UNITS:
            return f"{value:.4f}"
        return format_number(value, reference)

    def format_difference(self, value: float) -> str:
        """A difference without its sign: `0.34 points` of accuracy, `0.0034`, or `1,204`."""
        if self.is_accuracy:
            return f"{100 * abs(value):.2f} points"
        return self.format_value(abs(value))

    def compute_interval(self, result: HasScore) -> tuple[float, float] | None:
        """The 95 % confidence interval; None if there is none."""
        if self.objective:
            return result.score_interval
        correct, n = count_correct(result.confusion)
        if not n:
            return result.interval
        copies: int = getattr(result, "copies", 0)  # of a test set
        return compute_interval(correct, n, copies=copies)

    def clip_range(self, bounds: tuple[float, float]) -> tuple[float, float]:
        """Limit an interval to the values that the metric can have."""
        low = bounds[0] if self.metric == "val/r2" else max(0.0, bounds[0])
        return low, min(1.0, bounds[1]) if self.is_higher_better else bounds[1]

    def format_interval(self, result: HasScore) -> str:
        """` (95 %: 0.9034 to 0.9178)`, or an empty string."""
        interval = self.compute_interval(result)
        return f" (95 %: {self.format_range(interval)})" if interval else ""

    def format_range(self, bounds: tuple[float, float]) -> str:
        """`0.9034 to 0.9178`, both with as many decimals."""
        return f"{self.format_value(bounds[0], bounds[1])} to {self.format_value(bounds[1])}"

    def format_score(self, result: HasScore, full: bool = False) -> str:
        """`accuracy 0.9071 (95 %: 0.9034 to 0.9178)`; `full` adds the target's name."""
        name = self.full_name if full else self.name
        return f"{name} {self.format_value(result.score)}{self.format_interval(result)}"

    def format_other_metrics(
        self, result: HasScore, loss: float, mae: float | None, r2: float | None
    ) -> str:
        """The metrics apart from the score.

        `loss 0.2534`, or `MAE 15,602 (95 %: 14,480 to 16,911), R2 0.9132`.
        """
        if mae is None or r2 is None:
            return f"{self._format_accuracy(result)}loss {loss:.4f}"
        others = f"{self.format_mae(result, mae)}, R2 {r2:.4f}"
        return others.rpartition(", R2")[0] if self.metric == "val/r2" else others

    def _format_accuracy(self, result: HasScore) -> str:
        """`accuracy 0.9071 (95 %: 0.9034 to 0.9178), ` where it is not the score."""
        correct, n = count_correct(result.confusion)
        if not self.objective or not n:
            return ""
        interval = self.tested.format_interval(result)
        return f"{self.tested.name} {correct / n:.4f}{interval}, "

    def format_mae(self, result: HasScore, mae: float) -> str:
        """`MAE 15,602 (95 %: 14,480 to 16,911)`; older records have no interval of it."""
        bounds = result.mae_interval
        return f"MAE {format_number(mae)}" + (
            f" (95 %: {self.tested.format_range(bounds)})" if bounds else ""
        )

    def format_mae_beside(self, result: HasScore, mae: float | None) -> str:
        """`; MAE 15,602 (95 %: ...)`; empty for classes, and where a quantile is predicted."""
        if mae is None or self.metric == "val/quantile_loss":
            return ""
        return f"; {self.format_mae(result, mae)}"

    def format_epoch(self, result: HasScore, epoch: EpochMetrics) -> str:
        """The validation metrics of a result's best epoch apart from the score."""
        return self.format_other_metrics(result, epoch.val_loss, epoch.val_mae, epoch.val_r2)

    @property
    def plotly_axis(self) -> dict[str, Any]:
        """Options of a Plotly axis."""
        if self.is_accuracy:
            return {"tickformat": ".1%"}
        return {"tickformat": ",.4~r" if self.metric in IN_TARGET_UNITS else ".4~r"}

    @property
    def plotly_hover(self) -> str:
        """Plotly's number format in a hover text."""
        return ",.5~r" if self.metric in IN_TARGET_UNITS else ".4f"


ACCURACY = Score()


def estimate_standard_error(objective: Objective, result: HasScore) -> float | None:
    """Return the standard error of a result's objective; None if it is not known."""
    if objective == "val/rmse" and result.interval is not None:
        # The lower half: the upper one also allows for large errors that these examples lack.
        return (result.score - result.interval[0]) / Z_95
    correct, examples = count_correct(result.confusion)
    if objective != "val/accuracy" or not examples:
        return None
    low, high = compute_interval(correct, examples, ONE_STANDARD_ERROR)
    return (high - low) / 2


def read_score(definition: Mapping[str, Any]) -> Score:
    """The score of a study, from its recorded definition."""
    data, objective = definition.get("data", {}), definition.get("study", {}).get("objective")
    score = get_score_metric(objective)
    return Score(data.get("task", "classes"), data.get("target", ""), score)


def get_score_metric(objective: Objective | None) -> Objective | None:
    """The objective, if it is the score too; else None, for accuracy or RMSE."""
    return objective if objective in SCORE_OBJECTIVES else None


def list_unmeasured_fields(task: Task, objective: Objective) -> set[str]:
    """The fields of EpochMetrics that are None in the epochs of a study."""
    if task == "classes":
        fields = {"train_rmse", "val_rmse", "val_mae", "val_r2", "val_quantile_loss", *CLASS_FIELDS}
    else:
        fields = {"train_accuracy", "val_accuracy", "val_quantile_loss", *CLASS_FIELDS}
    return fields - {objective.replace("/", "_")}


def is_higher_better(objective: Objective | Cost) -> bool:
    """Whether a higher value of the objective is better."""
    return objective in HIGHER_IS_BETTER


def get_sort_sign(objective: Objective | Cost) -> int:
    """Multiply values by this to sort the best first."""
    return -1 if is_higher_better(objective) else 1


def format_objective(value: float, objective: Objective) -> str:
    """A value of an objective: four decimals, or `format_number` for one in the target's units."""
    return format_number(value) if objective in IN_TARGET_UNITS else f"{value:.4f}"


def format_number(value: float, reference: float | None = None) -> str:
    """Four significant digits or more, with thousands separators: `23,145`, `912.3`, `0.02340`.

    With `reference`, as many decimals as that number gets.
    """
    size = abs(value if reference is None else reference)
    if not math.isfinite(value) or not math.isfinite(size):
        return str(value)
    if size and size < 1e-4:
        return f"{value:.4g}"
    decimals = max(0, 3 - math.floor(math.log10(size))) if size else 0
    return f"{value:,.{decimals}f}"
