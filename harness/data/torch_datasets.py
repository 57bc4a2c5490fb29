"""The parts of a dataset as torch tensors, mapped from the cache and shared by all workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from harness.data.arrays import mapped
from harness.data.prepare import Prepared, TestFiles, TrainingFiles
from harness.errors import HarnessError
from harness.results import Task

Statistic = float | Tensor
"""Of all values of an example, or [*shape], one a feature."""


class Part(Dataset[tuple[Tensor, int | Tensor]]):
    """One part as a map-style Dataset: `part[i]` is (x, y), x float32 [*shape] normalised, y a
    class, or a float32 scalar in its own units where numbers are predicted.

    A plain `DataLoader(part, batch_size=32)` works on it. The engine reads the tensors instead:
    `inputs` uint8 or float32 [all, *shape] and `labels` int64 or float32 [all] as they are, and
    `rows` int64 [n], the part's rows in them.
    """

    def __init__(
        self, inputs: Tensor, labels: Tensor, rows: Tensor, mean: Statistic, std: Statistic
    ) -> None:
        self.inputs, self.labels, self.rows = inputs, labels, rows
        self.mean, self.std = mean, std

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int | Tensor]:
        row = self.rows[index]
        label = self.labels[row]
        y = label if label.is_floating_point() else int(label)
        return (self.inputs[row].float() - self.mean) / self.std, y


@dataclass(frozen=True)
class Splits:
    """What trials may see. The statistics come from the training part alone."""

    train: Part
    validation: Part
    classes: tuple[str, ...]
    mean: Tensor
    """[D], in raw units."""
    inv_std: Tensor
    """[D]; a constant feature's is 1."""
    task: Task = "classes"
    target: str = ""
    """What the labels of a regression are called; these are float32 then, in their own units."""
    target_mean: float = 0.0
    """Of the training part's targets; of a regression."""
    target_std: float = 1.0


class SealedTest:
    """The test part behind a seal that opens once; only `harness.test_set.opening` opens it."""

    def __init__(self, files: TestFiles, mean: Statistic, std: Statistic) -> None:
        self._files, self._mean, self._std = files, mean, std
        self.opened = False

    @classmethod
    def of(cls, prepared: Prepared) -> SealedTest:
        return cls(prepared.test, *_statistics(prepared.training))

    def open(self) -> Part:
        if self.opened:
            raise HarnessError("the test set was already opened for this selection")
        self.opened = True
        inputs, labels = _map(self._files.inputs), _map(self._files.labels)
        return Part(inputs, labels, torch.arange(len(labels)), self._mean, self._std)


def load_splits(files: TrainingFiles, read: Callable[[Path], Tensor] | None = None) -> Splits:
    """Map the training and validation parts. Raises DataError for a file that is cut off.

    `read` gives the content of a file that lies on another machine.
    """
    read = read or _map
    inputs, labels = read(files.inputs), read(files.labels)
    mean, std = _statistics(files)
    train, validation = (
        Part(inputs, labels, read(rows), mean, std)
        for rows in (files.train_rows, files.validation_rows)
    )
    features = inputs[0].numel()
    return Splits(
        train,
        validation,
        files.classes,
        torch.as_tensor(mean, dtype=torch.float32).expand(features).contiguous(),
        torch.as_tensor(1 / std, dtype=torch.float32).expand(features).contiguous(),
        files.task,
        files.target,
        files.target_mean,
        files.target_std,
    )


def _statistics(files: TrainingFiles) -> tuple[Statistic, Statistic]:
    """Mean and standard deviation of the inputs; 1 where that is 0."""
    if isinstance(files.mean, tuple):
        std = torch.tensor(files.std)
        return torch.tensor(files.mean), torch.where(std == 0, 1.0, std)
    assert isinstance(files.std, float)
    return files.mean, files.std or 1.0


def _map(path: Path) -> Tensor:
    """Copy-on-write, so that a stray write harms neither the file nor another worker."""
    return torch.from_numpy(mapped(path, "c"))
