"""A trial's result on the test set, as it is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.results import Objective, compute_class_accuracies, count_correct


@dataclass(frozen=True, kw_only=True, repr=False)
class TestReading:
    """One trial's result on the test set. Stored as JSON by field name."""

    __test__ = False  # pytest would collect it as a test class

    selection: str
    """Hash of the frozen selection that the test set was opened for."""
    number: int
    """The trial's number."""
    time: float
    """Unix time."""
    loss: float
    confusion: tuple[tuple[int, ...], ...]
    run: str = ""
    """The uid of the run whose weights were evaluated; empty in older records: the trial's."""
    look: int = 0
    """Which opening of this test set it was, over all studies; 0 in older records.
    `look` and `foretold` are keys of stored records, so they keep their names."""
    rmse: float | None = None
    """This field and the following are for regression, in the target's units."""
    mae: float | None = None
    r2: float | None = None
    interval: tuple[float, float] | None = None
    """95 % bootstrap interval of the RMSE."""
    mae_interval: tuple[float, float] | None = None
    """That of the MAE; None in older records."""
    foretold: int = 0
    """The number of examples."""
    overlap: tuple[str, ...] = ()
    """What was seen of the examples before in this folder, in sentences."""
    copies: int = 0
    """The examples that are copies of other ones; intervals count each once."""
    more: Mapping[str, float] = field(default_factory=dict)
    """Further metrics by name: `auc`, `f1`, ...; empty in older records."""
    score_metric: Objective | None = None
    """The study's objective, if it is the score instead of accuracy or RMSE."""
    score_interval: tuple[float, float] | None = None
    """95 % interval of that metric."""
    calibration: Mapping[str, Any] | None = None
    """For the champion of classes: `plain` and `scaled`, each a `CalibrationScores` as plain
    values; None in older records."""

    @property
    def score(self) -> float:
        """The accuracy, or the RMSE of a regression, or the metric that the objective names."""
        if self.score_metric is not None:
            return self.figures.get(self.score_metric.removeprefix("val/"), float("nan"))
        return self.accuracy if self.rmse is None else self.rmse

    @property
    def accuracy(self) -> float:
        """NaN for a regression."""
        correct, examples = count_correct(self.confusion)
        return correct / examples if examples else float("nan")

    @property
    def examples(self) -> int:
        return count_correct(self.confusion)[1] or self.foretold

    @property
    def figures(self) -> dict[str, float]:
        """The metrics by their names in MLflow, without the prefix `test/`."""
        if self.rmse is None or self.mae is None or self.r2 is None:
            return {"loss": self.loss, "accuracy": self.accuracy, **self.more}
        return {"loss": self.loss, "rmse": self.rmse, "mae": self.mae, "r2": self.r2, **self.more}

    @property
    def class_accuracy(self) -> tuple[float, ...]:
        return compute_class_accuracies(self.confusion)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __repr__(self) -> str:
        figures = ", ".join(f"{name}={value:.6g}" for name, value in self.figures.items())
        return f"TestReading({figures}, examples={self.examples})"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TestReading:
        confusion = tuple(tuple(row) for row in values["confusion"])
        names = ("interval", "mae_interval", "score_interval")
        intervals = {key: parse_interval(values.get(key)) for key in names}
        overlap = tuple(map(str, values.get("overlap", ())))
        return cls(**values | {"confusion": confusion, "overlap": overlap} | intervals)


def parse_interval(values: Sequence[float] | None) -> tuple[float, float] | None:
    """Read an interval from JSON."""
    return None if values is None else (float(values[0]), float(values[1]))
