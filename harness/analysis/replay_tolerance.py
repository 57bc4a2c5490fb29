"""How far one training of a trial is from another: to the last bit, and beside its twins.

Training amplifies rounding: what is 1e-7 in the weights after a step may be some validation images
after ten epochs. Where bits are not promised, the question is whether a difference is one that
rounding makes. Twins answer it: the same trial, its initial weights off by about what float32
resolves, each by a factor 1 + 1e-7 * z. That this stands for rounding anywhere in the training is
what Summers and Dinneen found ("Nondeterminism and Instability in Neural Network Optimization",
ICML 2021): a single weight changed by its last bit, once, makes runs differ as much as any other
source of chance does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.results import EpochMetrics
from harness.tracking.types import Matrix

METRICS = {
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
}
"""What arithmetic decides of an epoch, as far as the task measures it, in the order in which it
comes to be, by the names that it has on record. Not how long it took."""
JUDGED = ("train_loss", "val_loss", "val_accuracy", "val_rmse")
TWINS, PERTURBATION = 3, 1e-7
SIZE = "1e-7"
"""The perturbation, for people."""
FACTOR = 10.0
"""So many times as far as the farthest twin may the record lie: see `spread`."""
RESOLUTION = 1e-6
"""Of a loss, relative: as a sum of some thousand float32 terms has it."""

Curve = Sequence[EpochMetrics]


@dataclass(frozen=True)
class Training:
    """What training a trial once gave, as far as it is known."""

    epochs: Curve
    best: int | None
    """The epoch."""
    confusion: Matrix
    predictions: bytes | None
    """At the best epoch, one byte an example, or a float32 of a regression; None where they were
    not kept."""
    weights: bytes | None
    """The same, as safetensors."""
    diverged: bool = False
    """Whether it ended because a loss was no number, after the last of these epochs."""

    @property
    def said(self) -> tuple[bytes, ...]:
        """The prediction of each example; empty where they were not kept."""
        kept, size = self.predictions or b"", 1 if self.confusion else 4
        return tuple(kept[start : start + size] for start in range(0, len(kept), size))

    @property
    def seconds(self) -> float:
        """Of training and validation."""
        return sum(each.seconds for each in self.epochs)


@dataclass(frozen=True)
class Difference:
    what: str
    """`val/loss`, `best epoch`, `weights`."""
    epoch: int | None
    recorded: float | int | str | None
    now: float | int | str | None

    def __str__(self) -> str:
        at = f" in epoch {self.epoch}" if self.epoch else ""
        return f"{self.what}{at}: recorded {self.recorded}, now {self.now}"


def differences(recorded: Training, now: Training) -> Iterator[Difference]:
    """What is not the same to the last bit, the earliest first."""
    for before, after in zip(recorded.epochs, now.epochs, strict=False):
        if before.epoch != after.epoch:
            yield Difference("epoch that was evaluated", None, before.epoch, after.epoch)
            break
        for name, shown in METRICS.items():
            if getattr(before, name) is None:
                continue
            one, other = float(getattr(before, name)), float(getattr(after, name))
            if one.hex() != other.hex():
                yield Difference(shown, before.epoch, one, other)
    ends = [_end(each) for each in (recorded, now)]
    if ends[0] != ends[1]:
        yield Difference("end", None, *ends)
    if recorded.best != now.best:
        yield Difference("best epoch", None, recorded.best, now.best)
    if _rows(recorded.confusion) != _rows(now.confusion):
        right = (
            f"{sum(row[i] for i, row in enumerate(each.confusion)):,} right"
            for each in (recorded, now)
        )
        yield Difference("confusion matrix", None, *right)
    if changed := changed_predictions(recorded, now):
        yield Difference("predictions", None, f"{len(recorded.said):,}", f"{changed:,} others")
    if None not in (recorded.weights, now.weights) and recorded.weights != now.weights:
        yield Difference("weights", None, "some", "others")


def changed_predictions(recorded: Training, now: Training) -> int:
    """Of how many examples something else is said; 0 where it is not known."""
    if recorded.predictions is None or now.predictions is None:
        return 0
    pairs = itertools.zip_longest(recorded.said, now.said)
    return sum(one != other for one, other in pairs)


def measured(curve: Curve, names: Iterable[str]) -> list[str]:
    """Those of the metrics that its task has."""
    return [name for name in names if curve and getattr(curve[0], name) is not None]


@dataclass(frozen=True)
class Largest:
    """The largest difference of a metric over all epochs."""

    value: float
    epoch: int


def largest(recorded: Curve, now: Curve, name: str) -> Largest:
    found = Largest(0.0, 0)
    for before, after in zip(recorded, now, strict=False):
        off = abs(getattr(before, name) - getattr(after, name))
        if off > found.value or math.isnan(off):
            found = Largest(off, before.epoch)
    return found


@dataclass(frozen=True)
class Spread:
    """How far the record lies from the replay beside the twins, where it lies farthest."""

    share: float
    """Of what the twins allow; above 1 it lies outside."""
    metric: str
    """Of METRICS."""
    epoch: int
    recorded: float
    """Its largest difference from the replay up to this epoch."""
    twins: float
    """The farthest twin's."""

    @property
    def within(self) -> bool:
        return self.share <= 1


def spread(recorded: Curve, now: Curve, twins: Sequence[Training], examples: int) -> Spread:
    """Whether the record could be a replay that was rounded otherwise.

    At no epoch may the record's largest difference from the replay so far, in training loss,
    validation loss or validation accuracy, be more than FACTOR times the farthest twin's. So far,
    since trainings that parted may cross again, and since the early epochs tell most: by then
    rounding has come to next to nothing, another seed or learning rate to all it can. One example
    of the `examples` validated, and RESOLUTION of a loss, may always differ.

    FACTOR was chosen by measurement, on 12 random trials of quickstart (20 epochs) and 6 small ones
    of fashion-mnist (3 epochs), each beside all triples of six twins. Trained fused with others,
    every one lay within (at a factor of 2, 97 % and 87 %); of other twins, 93 % and 96 %. Another
    seed lay within in 0 % and 33 %, a learning rate 5 % off in 0 % and 58 %: where rounding grows
    to all it can within the first epoch, as there, little can be told from curves.
    """
    found = Spread(0.0, JUDGED[0], 0, 0.0, 0.0)
    for name in measured(recorded, JUDGED):
        off = _so_far(recorded, now, name)
        farthest = [
            max(each) for each in zip(*(_twin(twin, now, name) for twin in twins), strict=True)
        ]
        for epoch, mine, theirs in zip(now, off, farthest, strict=False):
            floor = RESOLUTION * getattr(epoch, name)
            if name == "val_accuracy":
                floor = 1.5 / examples  # between one of them and two
            bound = FACTOR * theirs + floor
            share = mine / bound if bound else math.inf
            if mine and share > found.share:
                found = Spread(share, METRICS[name], epoch.epoch, mine, theirs)
    return found


def _so_far(one: Curve, other: Curve, name: str) -> list[float]:
    """The largest difference up to each epoch that both have."""
    pairs = zip(one, other, strict=False)
    off = (abs(getattr(a, name) - getattr(b, name)) for a, b in pairs)
    return list(itertools.accumulate(off, max))


def _twin(twin: Training, now: Curve, name: str) -> list[float]:
    """The same for each epoch of the replay: one that stopped early stands where it stopped."""
    off = _so_far(twin.epochs, now, name)
    last = math.inf if twin.diverged else max(off, default=0.0)
    return off + [last] * (len(now) - len(off))


def _end(training: Training) -> str:
    last = training.epochs[-1].epoch if training.epochs else 0
    return f"diverged after epoch {last}" if training.diverged else f"after epoch {last}"


def _rows(matrix: Matrix) -> list[tuple[int, ...]]:
    return [tuple(row) for row in matrix]
