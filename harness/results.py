"""What training returns: the metrics of an epoch, and the result or failure of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Objective = Literal[
    "val/accuracy",
    "val/loss",
    "val/auc",
    "val/f1",
    "val/balanced_accuracy",
    "val/log_loss",
    "val/brier",
    "val/rmse",
    "val/mae",
    "val/r2",
    "val/quantile_loss",
]
Cost = Literal["parameters", "milliseconds"]
"""What a setting costs, known before it is trained."""
StopReason = Literal["finished", "early", "pruned"]
Task = Literal["classes", "regression"]

MAX_FOLDS = 20
"""The most folds of a cross-validation."""

ConfusionMatrix = Sequence[Sequence[int]]
"""Numbers of examples by [true class][predicted class]."""


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """The metrics of one epoch.

    Losses are means per example, without the penalties. The training loss includes label
    smoothing, the validation loss never does.

    A regression has no accuracies. Its losses are of the transformed target; RMSE, MAE, R2 and the
    quantile loss are in the target's own units, and None for a classification.

    AUC, F1, balanced accuracy, log loss, Brier score and quantile loss are measured at the best
    epoch, and in every epoch only if they are the objective; else they are None.
    `harness.engine.class_metrics` defines them.
    """

    epoch: int
    """Counted from 1."""
    train_loss: float
    train_accuracy: float | None = None
    """In [0, 1], measured on the epoch's batches while they were trained on."""
    penalty: float
    """l1 * sum |p| + l2 * sum p^2 at the end of the epoch."""
    val_loss: float
    val_accuracy: float | None = None
    """In [0, 1]."""
    learning_rate: float
    """Of the epoch's last step."""
    seconds: float
    """Training and validation since the last validated epoch; the trial's share of the time where
    several trials train as one."""
    time: float
    """Unix time at the end of the epoch."""
    train_rmse: float | None = None
    """Measured on the epoch's batches while they were trained on."""
    val_rmse: float | None = None
    val_mae: float | None = None
    val_r2: float | None = None
    val_quantile_loss: float | None = None
    val_auc: float | None = None
    val_f1: float | None = None
    val_balanced_accuracy: float | None = None
    val_log_loss: float | None = None
    val_brier: float | None = None
    folds: Any = None
    """The objective in each fold, a tuple of numbers; None without folds."""

    def __post_init__(self) -> None:
        if isinstance(self.folds, list):  # as JSON has it
            object.__setattr__(self, "folds", tuple(self.folds))

    def get_objective(self, name: Objective) -> float:
        """The value of an objective. Raises ValueError if the task does not have it."""
        value: float | None = getattr(self, name.replace("/", "_"))
        if value is None:
            raise ValueError(f"{name}: not measured on this data")
        return value

    def to_dict(self) -> dict[str, Any]:
        """The metrics that the task has, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def best_metrics(self) -> dict[str, float]:
        """The validation metrics, by the names that those of the best epoch have in MLflow."""
        values = {
            f"best/{name}": getattr(self, name) for name in vars(self) if name.startswith("val_")
        }
        return {name: value for name, value in values.items() if value is not None}

    @property
    def score(self) -> float:
        """Validation accuracy, or the validation RMSE of a regression."""
        return self.get_score(None)

    def get_score(self, metric: Objective | None) -> float:
        """The value of a metric; None means accuracy, or the RMSE of a regression."""
        default: Objective = "val/rmse" if self.val_accuracy is None else "val/accuracy"
        return self.get_objective(metric or default)


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """The result of a trial that was trained: its best epoch by the objective, and its files."""

    best: EpochMetrics
    epochs: int
    """Number of epochs trained."""
    stopped: StopReason
    parameters: int
    """Number of trainable parameters."""
    seconds: float
    """Training and validation; the trial's share of the time where several trials train as one."""
    confusion: tuple[tuple[int, ...], ...]
    """Examples of the validation set by [true class][predicted class], at the best epoch; () for a
    regression."""
    predictions: bytes
    """Predicted class of each example of the validation set, in the split's order, one byte each;
    float32 values for a regression."""
    weights: bytes
    """State dict of the best epoch, of `models.mlp.MLP` or `models.custom.CustomModel`, as
    safetensors."""
    interval: tuple[float, float] | None = None
    """95 % confidence interval of a regression's validation RMSE, by the bootstrap."""
    mae_interval: tuple[float, float] | None = None
    """That of its validation MAE."""
    by_epoch: bytes = b""
    """The predictions after every epoch, for a confirmation run; the content of an
    `EpochPredictions` file."""
    score_metric: Objective | None = None
    """The objective, if it is the score instead of accuracy or RMSE; see `Score`."""
    score_interval: tuple[float, float] | None = None
    """95 % confidence interval of that metric."""

    @property
    def score(self) -> float:
        """The score of the best epoch: the validation accuracy or RMSE, or `score_metric`."""
        return self.best.get_score(self.score_metric)

    @property
    def class_accuracy(self) -> tuple[float, ...]:
        """Validation accuracy of each class; NaN for a class without examples."""
        return compute_class_accuracies(self.confusion)


class HasScore(Protocol):
    """A scored model: a trial's result or run, or a reading of the test set."""

    @property
    def score(self) -> float: ...
    @property
    def confusion(self) -> Sequence[Sequence[int]]: ...
    @property
    def interval(self) -> tuple[float, float] | None: ...
    @property
    def mae_interval(self) -> tuple[float, float] | None: ...
    @property
    def score_interval(self) -> tuple[float, float] | None: ...


@dataclass(frozen=True, kw_only=True)
class TrialFailure:
    """A trial that could not be trained to its end."""

    reason: str


Outcome = TrialResult | TrialFailure


def count_correct_by_class(confusion: ConfusionMatrix) -> list[tuple[int, int]]:
    """Return (correct, all examples) of each true class."""
    return [(row[index], sum(row)) for index, row in enumerate(confusion)]


def count_correct(confusion: ConfusionMatrix) -> tuple[int, int]:
    """Return (correct, all examples) over all classes."""
    counts = count_correct_by_class(confusion)
    return sum(correct for correct, _ in counts), sum(n for _, n in counts)


def compute_class_accuracies(confusion: ConfusionMatrix) -> tuple[float, ...]:
    """Return the accuracy of each class; NaN for a class without examples."""
    return tuple(
        correct / n if n else float("nan") for correct, n in count_correct_by_class(confusion)
    )
