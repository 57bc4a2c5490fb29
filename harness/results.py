"""What an epoch measured, and what came of a trial: frozen values of the standard library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Objective = Literal["val/accuracy", "val/loss", "val/rmse", "val/mae"]
StopReason = Literal["finished", "early", "pruned"]
Task = Literal["classes", "regression"]


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """What one epoch measured.

    Losses are means per example of the trial's own loss, without penalties; the training loss is
    the one that was minimised, with label smoothing, the validation loss never has any. Those of a
    regression are of the standardised target; its other figures are in the target's own units, and
    None where classes are told apart, as accuracies are None in a regression.
    """

    epoch: int
    """Counted from 1."""
    train_loss: float
    train_accuracy: float | None = None
    """Over the epoch's own batches while they were trained on, in [0, 1]."""
    penalty: float
    """l1 * sum |p| + l2 * sum p^2 at the epoch's end."""
    val_loss: float
    val_accuracy: float | None = None
    learning_rate: float
    """Of the epoch's last step."""
    seconds: float
    """Of training and validation since the last evaluated epoch: the trial's own share where
    several trained as one."""
    time: float
    """Unix time at the epoch's end."""
    train_rmse: float | None = None
    """Over the epoch's own batches while they were trained on."""
    val_rmse: float | None = None
    val_mae: float | None = None
    val_r2: float | None = None

    def get_objective(self, name: Objective) -> float:
        """Raises ValueError for one that a trial on such data does not have."""
        value: float | None = getattr(self, name.replace("/", "_"))
        if value is None:
            raise ValueError(f"{name}: not measured on this data")
        return value

    def to_dict(self) -> dict[str, Any]:
        """What was measured, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def best_metrics(self) -> dict[str, float]:
        """What was validated, by the names that a trial's best epoch has in MLflow."""
        names = ("val_accuracy", "val_loss", "val_rmse", "val_mae", "val_r2")
        values = {f"best/{name}": getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def score(self) -> float:
        """What a trial is quoted by: validation accuracy, or RMSE of a regression."""
        return self.get_objective("val/rmse" if self.val_accuracy is None else "val/accuracy")


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """A trial that trained: its best epoch by the study's objective, and what it left."""

    best: EpochMetrics
    epochs: int
    """Epochs trained."""
    stopped: StopReason
    parameters: int
    """Number of trainable parameters."""
    seconds: float
    """Of training and validation: its own share where several trials trained as one."""
    confusion: tuple[tuple[int, ...], ...]
    """Validation images by [true class][predicted class], at the best epoch; () of a regression."""
    predictions: bytes
    """Predicted class of every validation image in the split's order, one byte each; of a
    regression the predicted values, float32."""
    weights: bytes
    """The best epoch's state dict of `models.mlp.MLP`, or of `models.custom.OwnModel`, as
    safetensors."""
    interval: tuple[float, float] | None = None
    """Of a regression: 95 % for the validation RMSE, by the bootstrap."""

    @property
    def score(self) -> float:
        return self.best.score

    @property
    def class_accuracy(self) -> tuple[float, ...]:
        """Validation accuracy of each class; NaN for a class without an image."""
        return compute_class_accuracies(self.confusion)


@dataclass(frozen=True, kw_only=True)
class TrialFailure:
    """A trial that could not be trained to its end, with the reason in words."""

    reason: str


Outcome = TrialResult | TrialFailure


def compute_class_accuracies(confusion: tuple[tuple[int, ...], ...]) -> tuple[float, ...]:
    """Diagonal over row sums of a [true][predicted] matrix; NaN where a row is empty."""
    return tuple(
        row[index] / sum(row) if sum(row) else float("nan") for index, row in enumerate(confusion)
    )
