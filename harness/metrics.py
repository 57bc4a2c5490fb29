"""The figure by which models are quoted, by task: its name, which way is better, how it is written.

Accuracy where classes are told apart, RMSE in the target's own units where a number is foretold.
An accuracy's interval is Wilson's; an RMSE's comes with it, by the bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.results import EpochMetrics, Objective, Task
from harness.stats.proportions import wilson

Z_95 = 1.96
"""Standard errors that a 95 % interval reaches either way."""
OBJECTIVES: dict[Task, tuple[Objective, ...]] = {
    "classes": ("val/accuracy", "val/loss"),
    "regression": ("val/rmse", "val/mae", "val/loss"),
}
"""What a study may go by, the default first, which is the score."""
UNMEASURED_FIELDS: dict[Task, tuple[str, ...]] = {
    "classes": ("train_rmse", "val_rmse", "val_mae", "val_r2"),
    "regression": ("train_accuracy", "val_accuracy"),
}
"""The fields of EpochMetrics that a task leaves None."""
OBJECTIVE_NAMES: dict[Objective, str] = {
    "val/accuracy": "accuracy",
    "val/rmse": "RMSE",
    "val/mae": "MAE",
    "val/loss": "loss",
}


class HasScore(Protocol):
    """What can be quoted: a trial's result or run, or what the test set showed of one."""

    @property
    def score(self) -> float: ...
    @property
    def confusion(self) -> Sequence[Sequence[int]]: ...
    @property
    def interval(self) -> tuple[float, float] | None: ...


@dataclass(frozen=True)
class Score:
    task: Task = "classes"
    target: str = ""
    """What is foretold; of a regression."""

    @property
    def metric(self) -> Objective:
        return OBJECTIVES[self.task][0]

    @property
    def name(self) -> str:
        """`accuracy` or `RMSE`."""
        return OBJECTIVE_NAMES[self.metric]

    @property
    def full_name(self) -> str:
        """`accuracy` or `RMSE of SalePrice`."""
        return f"{self.name} of {self.target}" if self.target else self.name

    @property
    def field_name(self) -> str:
        """As it stands in names of metrics: `val_accuracy`."""
        return self.metric.replace("/", "_")

    @property
    def is_higher_better(self) -> bool:
        """Whether higher is better."""
        return higher_is_better(self.metric)

    @property
    def sign(self) -> int:
        """What values are multiplied by to sort the best first."""
        return get_sort_sign(self.metric)

    def format_value(self, value: float, beside: float | None = None) -> str:
        """`0.9071`, or `23,145`; with as many decimals as the figure `beside` it."""
        return f"{value:.4f}" if self.task == "classes" else format_number(value, beside)

    def format_difference(self, value: float) -> str:
        """The same of a difference, without its sign: `0.34 points`, or `1,204`."""
        return f"{100 * abs(value):.2f} points" if self.task == "classes" else format_number(abs(value))

    def compute_interval(self, of: HasScore) -> tuple[float, float] | None:
        """95 %; None where nothing was counted."""
        n = sum(map(sum, of.confusion))
        return wilson(sum(row[i] for i, row in enumerate(of.confusion)), n) if n else of.interval

    def format_interval(self, of: HasScore) -> str:
        """` (95 %: 0.9034 to 0.9178)`, or nothing."""
        found = self.compute_interval(of)
        return f" (95 %: {self.format_range(found)})" if found else ""

    def format_range(self, bounds: tuple[float, float]) -> str:
        return f"{self.format_value(bounds[0], bounds[1])} to {self.format_value(bounds[1])}"

    def format_score(self, of: HasScore, full: bool = False) -> str:
        """`accuracy 0.9071 (95 %: 0.9034 to 0.9178)`; in `full` with what is predicted."""
        return f"{self.full_name if full else self.name} {self.format_value(of.score)}{self.format_interval(of)}"

    def format_other_metrics(self, loss: float, mae: float | None, r2: float | None) -> str:
        """What stands after it: `loss 0.2534`, or `MAE 15,602, R2 0.9132`."""
        if mae is None or r2 is None:
            return f"loss {loss:.4f}"
        return f"MAE {format_number(mae)}, R2 {r2:.4f}"

    def format_epoch(self, epoch: EpochMetrics) -> str:
        return self.format_other_metrics(epoch.val_loss, epoch.val_mae, epoch.val_r2)

    @property
    def plotly_axis(self) -> dict[str, Any]:
        """Plotly's format of an axis."""
        return {"tickformat": ".1%" if self.task == "classes" else ",.4~r"}

    @property
    def plotly_hover(self) -> str:
        """Plotly's format of a value."""
        return ".4f" if self.task == "classes" else ",.5~r"


ACCURACY = Score()


def get_score(definition: Mapping[str, Any]) -> Score:
    """What a study's trials are quoted by, from its definition."""
    data = definition.get("data", {})
    return Score(data.get("task", "classes"), data.get("target", ""))


def higher_is_better(objective: Objective) -> bool:
    return objective == "val/accuracy"


def get_sort_sign(objective: Objective) -> int:
    """What values are multiplied by to sort the best first."""
    return -1 if higher_is_better(objective) else 1


def format_objective(value: float, objective: Objective) -> str:
    """A value of an objective: four decimals, or as many as a number in units of its own takes."""
    return format_number(value) if objective in ("val/rmse", "val/mae") else f"{value:.4f}"


def format_number(value: float, beside: float | None = None) -> str:
    """Four significant digits or more, thousands apart: `23,145`, `912.3`, `0.02340`.

    With as many decimals as the figure `beside` it has.
    """
    size = abs(value if beside is None else beside)
    if not math.isfinite(value) or not math.isfinite(size):
        return str(value)
    if size and size < 1e-4:
        return f"{value:.4g}"
    decimals = max(0, 3 - math.floor(math.log10(size))) if size else 0
    return f"{value:,.{decimals}f}"
