"""The splits of a dataset as torch Datasets, mapped from the cache and shared by all workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from harness.data.cache import map_array
from harness.data.training_files import TrainingFiles
from harness.results import Task

Statistic = float | Tensor
"""One number for all values of an example, or one a feature, [*shape]."""


class Split(Dataset[tuple[Tensor, int | Tensor]]):
    """One split as a map-style Dataset.

    `split[i]` is (x, y): x float32 [*shape] normalized, y a class, or for a regression a float32
    scalar in the target's units. A plain `DataLoader(split, batch_size=32)` works.

    The engine reads the tensors instead: `inputs` uint8 or float32 [all, *shape] and `labels` int64
    or float32 [all], not normalized, and `rows` int64 [n], the split's rows in them.
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
    """The splits that trials may see, with statistics of the training set alone."""

    train: Split
    validation: Split
    classes: tuple[str, ...]
    mean: Tensor
    """[D], in raw units."""
    inv_std: Tensor
    """[D]; 0 for a feature that is constant in the training set, and so has no effect."""
    task: Task = "classes"
    target: str = ""
    """The name of a regression's labels, which are float32 in their own units."""
    target_mean: float = 0.0
    """Mean of the training set's targets; for a regression."""
    target_std: float = 1.0
    features: tuple[int, ...] = ()
    """[D], see `TrainingFiles`; empty if the data is no table."""


def load_splits(files: TrainingFiles, read: Callable[[Path], Tensor] | None = None) -> Splits:
    """Map the training and validation set. Raises DataError for a file that is cut off.

    `read` loads a file's tensor when the file is on another machine.
    """
    read = read or map_tensor
    rows = read(files.train_rows), read(files.validation_rows)
    return build_splits(files, read(files.inputs), read(files.labels), *rows)


def build_splits(
    files: TrainingFiles, inputs: Tensor, labels: Tensor, train: Tensor, validation: Tensor
) -> Splits:
    """Return the splits of all inputs and labels by row numbers.

    `files` has the statistics; its paths are not read.
    """
    mean, std = read_input_statistics(files)
    features = inputs[0].numel()
    return Splits(
        Split(inputs, labels, train, mean, std),
        Split(inputs, labels, validation, mean, std),
        files.classes,
        torch.as_tensor(mean, dtype=torch.float32).expand(features).contiguous(),
        torch.as_tensor(1 / std, dtype=torch.float32).expand(features).contiguous(),
        files.task,
        files.target,
        files.target_mean,
        files.target_std,
        files.features,
    )


def read_input_statistics(files: TrainingFiles) -> tuple[Statistic, Statistic]:
    """Return mean and standard deviation of the inputs.

    Infinity instead of a feature's deviation of 0 makes the feature 0 whatever its value; 1 instead
    of a deviation of 0 of all values.
    """
    if isinstance(files.mean, tuple):
        std = torch.tensor(files.std)
        return torch.tensor(files.mean), torch.where(std == 0, torch.inf, std)
    assert isinstance(files.std, float)
    return files.mean, files.std or 1.0


def map_tensor(path: Path) -> Tensor:
    """Map a file copy-on-write, so that a stray write changes neither it nor another worker."""
    return torch.from_numpy(map_array(path, "c"))
