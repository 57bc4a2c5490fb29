"""Compare two trainings of one trial: bit by bit, and against what rounding can cause.

Training amplifies rounding: a difference of 1e-7 in the weights after one step may change several
predictions after ten epochs. If equal bits are not promised, the question is whether a difference
is as small as rounding makes it. Twins answer that. A twin is the same trial, whose initial weights
are multiplied by factors 1 + 1e-7 * z, which is about the resolution of float32. This represents
rounding at any place in the training: changing a single weight by its last bit, once, makes runs
differ as much as any other source of randomness does (Summers and Dinneen, "Nondeterminism and
Instability in Neural Network Optimization", ICML 2021).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.metrics import CLASS_FIELDS
from harness.results import ConfusionMatrix, EpochMetrics, count_correct

METRIC_NAMES = {
    "learning_rate": "train/learning_rate",
    "train_loss": "train/loss",
    "train_accuracy": "train/accuracy",
    "penalty": "train/penalty",
    "val_loss": "val/loss",
    "val_accuracy": "val/accuracy",
    "train_rmse": "train/rmse",
    "val_rmse": "val/rmse",
    "val_mae": "val/mae",
    "val_r2": "val/r2",
    "val_quantile_loss": "val/quantile_loss",
    **{field: field.replace("_", "/", 1) for field in CLASS_FIELDS},
}
"""Fields of EpochMetrics that must be equal bit by bit, in the order in which they are computed,
with their recorded names. Times are not among them."""
JUDGED_METRICS = ("train_loss", "val_loss", "val_accuracy", "val_rmse")
"""The metrics that are compared with the twins'."""
TWINS, PERTURBATION = 3, 1e-7
PERTURBATION_TEXT = "1e-7"
TWIN_FACTOR = 10.0
"""The record may be this many times as far away as the farthest twin: see `compare_with_twins`."""
LOSS_RESOLUTION = 1e-6
"""The relative resolution of a loss, which is a sum of some thousand float32 terms."""

Curve = Sequence[EpochMetrics]


@dataclass(frozen=True)
class TrainingRecord:
    """The result of training a trial once, as far as it is known."""

    epochs: Curve
    best_epoch: int | None
    confusion: ConfusionMatrix
    predictions: bytes | None
    """At the best epoch, one byte for each example, or a float32 for a regression; None if they
    were not recorded."""
    weights: bytes | None
    """At the best epoch, as safetensors; None if they were not recorded."""
    diverged: bool = False
    """Whether a loss that is not finite ended it after the last of these epochs."""

    @property
    def example_predictions(self) -> tuple[bytes, ...]:
        """The prediction of each example; empty if they were not recorded."""
        content, size = self.predictions or b"", 1 if self.confusion else 4
        return tuple(content[start : start + size] for start in range(0, len(content), size))

    @property
    def seconds(self) -> float:
        """The time of training and validation."""
        return sum(metrics.seconds for metrics in self.epochs)


@dataclass(frozen=True)
class Difference:
    """A value that differs in at least one bit. Field names are keys in JSON."""

    what: str
    """`val/loss`, `best epoch`, `weights`."""
    epoch: int | None
    recorded: float | int | str | None
    now: float | int | str | None
    """Both are None for weights, of which only the fact is reported."""

    def __str__(self) -> str:
        if self.recorded is None:
            return f"the {self.what} differ"
        epoch = f" in epoch {self.epoch}" if self.epoch else ""
        return f"{self.what}{epoch}: recorded {self.recorded}, now {self.now}"


def find_differences(recorded: TrainingRecord, replayed: TrainingRecord) -> Iterator[Difference]:
    """Yield everything that is not equal bit by bit, the earliest difference first."""
    for before, after in zip(recorded.epochs, replayed.epochs, strict=False):
        if before.epoch != after.epoch:
            yield Difference("epoch that was evaluated", None, before.epoch, after.epoch)
            break
        for field, name in METRIC_NAMES.items():
            if getattr(before, field) is None:
                continue
            one, other = float(getattr(before, field)), float(getattr(after, field))
            if one.hex() != other.hex():
                yield Difference(name, before.epoch, one, other)
    ends = [_describe_end(training) for training in (recorded, replayed)]
    if ends[0] != ends[1]:
        yield Difference("end", None, *ends)
    if recorded.best_epoch != replayed.best_epoch:
        yield Difference("best epoch", None, recorded.best_epoch, replayed.best_epoch)
    if _to_rows(recorded.confusion) != _to_rows(replayed.confusion):
        correct = (
            f"{count_correct(training.confusion)[0]:,} right" for training in (recorded, replayed)
        )
        yield Difference("confusion matrix", None, *correct)
    if changed := count_changed_predictions(recorded, replayed):
        count = len(recorded.example_predictions)
        yield Difference("predictions", None, f"{count:,}", f"{changed:,} of them differ")
    if None not in (recorded.weights, replayed.weights) and recorded.weights != replayed.weights:
        yield Difference("weights", None, None, None)


def count_changed_predictions(recorded: TrainingRecord, replayed: TrainingRecord) -> int:
    """Count the examples with another prediction; 0 if either's predictions are not known."""
    if recorded.predictions is None or replayed.predictions is None:
        return 0
    pairs = itertools.zip_longest(recorded.example_predictions, replayed.example_predictions)
    return sum(one != other for one, other in pairs)


def compare_weights(recorded: bytes, replayed: bytes | None) -> float:
    """Return the largest difference of a weight in two safetensors files of one network.

    0 for equal bits; infinity if the second has no weights, because its training diverged.
    """
    if recorded == replayed:
        return 0.0
    if replayed is None:
        return math.inf
    from safetensors.numpy import load

    others = load(replayed)
    return max(
        float(abs(tensor.astype("f8") - others[name].astype("f8")).max(initial=0))
        for name, tensor in load(recorded).items()
    )


def list_measured_metrics(curve: Curve, fields: Iterable[str]) -> list[str]:
    """Return those of the fields that the trial's task has."""
    return [field for field in fields if curve and getattr(curve[0], field) is not None]


@dataclass(frozen=True)
class LargestDifference:
    """The largest difference of a metric over all epochs. Field names are keys in JSON."""

    value: float
    epoch: int


def find_largest_difference(recorded: Curve, replayed: Curve, field: str) -> LargestDifference:
    """Find the largest difference of a metric; NaN counts as the largest."""
    largest = LargestDifference(0.0, 0)
    for before, after in zip(recorded, replayed, strict=False):
        difference = abs(getattr(before, field) - getattr(after, field))
        if difference > largest.value or math.isnan(difference):
            largest = LargestDifference(difference, before.epoch)
    return largest


@dataclass(frozen=True)
class TwinComparison:
    """How far the record is from the replay, compared with the twins, at the worst epoch.

    Field names are keys in JSON.
    """

    share: float
    """The difference as a share of what the twins allow; the record is outside above 1."""
    metric: str
    """One of METRIC_NAMES."""
    epoch: int
    recorded: float
    """The record's largest difference from the replay up to this epoch."""
    twins: float
    """The farthest twin's."""

    @property
    def is_within(self) -> bool:
        return self.share <= 1


def compare_with_twins(
    recorded: Curve, replayed: Curve, twins: Sequence[TrainingRecord], examples: int
) -> TwinComparison:
    """Check whether the record could be a replay with different rounding.

    At every epoch, the record's largest difference so far from the replay may be at most
    TWIN_FACTOR times the farthest twin's, in each of JUDGED_METRICS. It is the largest difference
    so far because curves that have separated may cross again, and because early epochs show most:
    by then rounding has had next to no effect, another seed or learning rate all of its effect.
    One of the `examples` of the validation set, and LOSS_RESOLUTION of a loss, may always differ.

    TWIN_FACTOR was measured on 12 random trials of quickstart (20 epochs) and 6 small ones of
    fashion-mnist (3 epochs), each with all triples of six twins. All trials that were trained fused
    with others were within (97 % and 87 % at a factor of 2); of other twins, 93 % and 96 %.
    Another seed was within in 0 % and 33 %, a learning rate that is 5 % off in 0 % and 58 %: if
    rounding has all of its effect within the first epoch, as in fashion-mnist, curves distinguish
    little.
    """
    worst = TwinComparison(0.0, JUDGED_METRICS[0], 0, 0.0, 0.0)
    for field in list_measured_metrics(recorded, JUDGED_METRICS):
        differences = _accumulate_largest(recorded, replayed, field)
        farthest = [
            max(values)
            for values in zip(
                *(_accumulate_twin(twin, replayed, field) for twin in twins), strict=True
            )
        ]
        for metrics, difference, twin in zip(replayed, differences, farthest, strict=False):
            floor = LOSS_RESOLUTION * getattr(metrics, field)
            if field == "val_accuracy":
                floor = 1.5 / examples  # between one example and two
            bound = TWIN_FACTOR * twin + floor
            share = difference / bound if bound else math.inf
            if difference and share > worst.share:
                worst = TwinComparison(share, METRIC_NAMES[field], metrics.epoch, difference, twin)
    return worst


def _accumulate_largest(one: Curve, other: Curve, field: str) -> list[float]:
    """Return the largest difference up to each epoch that both curves have."""
    pairs = zip(one, other, strict=False)
    differences = (abs(getattr(a, field) - getattr(b, field)) for a, b in pairs)
    return list(itertools.accumulate(differences, max))


def _accumulate_twin(twin: TrainingRecord, replayed: Curve, field: str) -> list[float]:
    """Return the same for each epoch of the replay; a stopped twin keeps its last value."""
    differences = _accumulate_largest(twin.epochs, replayed, field)
    last = math.inf if twin.diverged else max(differences, default=0.0)
    return differences + [last] * (len(replayed) - len(differences))


def _describe_end(training: TrainingRecord) -> str:
    last = training.epochs[-1].epoch if training.epochs else 0
    return f"diverged after epoch {last}" if training.diverged else f"after epoch {last}"


def _to_rows(matrix: ConfusionMatrix) -> list[tuple[int, ...]]:
    return [tuple(row) for row in matrix]
