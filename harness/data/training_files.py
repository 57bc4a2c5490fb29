"""The files of a training and validation set, as workers get them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.cache import map_array
from harness.data.split_fit import Reshuffling
from harness.data.table_features import TRANSFORM_FILE, read_transform
from harness.data.types import Array
from harness.results import Task
from harness.trial import WHOLE


@dataclass(frozen=True)
class TrainingFiles:
    """The training and validation set, without a path to the test set."""

    inputs: Path
    labels: Path
    train_rows: Path
    validation_rows: Path
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    """Shape of one example."""
    mean: float | tuple[float, ...]
    """Mean of the training values, in raw units (0..255 for images); one a feature of a table."""
    std: float | tuple[float, ...]
    """Their standard deviation; 0 if all values are equal. A feature with 0 has no effect."""
    task: Task = "classes"
    target: str = ""
    """The name of a regression's labels."""
    target_mean: float = 0.0
    """Mean of the training set's targets, in their units; for a regression."""
    target_std: float = 1.0
    dtype: str = "uint8"
    """Type of the inputs: float32 for features."""
    columns: tuple[str, ...] = ()
    """The names of a table's features."""
    features: tuple[int, ...] = ()
    """For each feature of a table: 0 for a number, n for a 0-or-1 feature of the n-th category."""
    transform: Path | None = None
    """The parameters of the transform that made a table's features."""
    redrawn: tuple[TrainingFiles, ...] = ()
    """The same examples in other splits, for confirmation runs; see harness.data.redrawn_splits."""
    folds: tuple[TrainingFiles, ...] = ()
    """The folds of a cross-validation, these files first; see harness.data.folds."""
    reshuffling: Reshuffling | None = None
    """With folds: each trial draws folds of its own by this; None if all trials have `folds`."""
    whole: TrainingFiles | None = None
    """All training and validation examples as the training set, for the final model of a study with
    folds. Its validation set, that of the first fold, is a part of them."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that training reads."""
        whole = () if self.whole is None else (self.whole,)
        splits = (self, *self.redrawn, *self.folds, *whole)
        rows = dict.fromkeys(path for each in splits for path in each.row_paths)
        inputs = dict.fromkeys(each.inputs for each in splits)
        drawn = self.reshuffling.paths if self.reshuffling else ()
        return tuple(dict.fromkeys((*inputs, self.labels, *rows, *drawn)))

    @property
    def row_paths(self) -> tuple[Path, Path]:
        return self.train_rows, self.validation_rows

    def select_split(self, number: int) -> TrainingFiles:
        """Return the files of a split: 0 for the study's own, 1 for the first in `redrawn`, WHOLE
        for `whole`."""
        if number == WHOLE:
            if self.whole is None:
                raise ValueError("without folds, no split has all examples")
            return self.whole
        return self.redrawn[number - 1] if number else self

    def validation_labels(self) -> bytes:
        """Return the labels of the validation set in its order, those of all folds one after the
        other: uint8 classes, or float32 targets of a regression."""
        rows = [map_array(each.validation_rows) for each in self.folds or (self,)]
        labels: Array = map_array(self.labels)[np.concatenate(rows)]
        return labels.astype(np.float32 if self.task == "regression" else np.uint8).tobytes()


def select_features(files: TrainingFiles, folder: Path) -> dict[str, Any]:
    """Return the fields of a table's `files` that are other ones in another split's folder."""
    transform = read_transform(folder / TRANSFORM_FILE)
    inputs = folder / "inputs.npy"
    return {
        "inputs": inputs if inputs.exists() else files.inputs,
        "transform": folder / TRANSFORM_FILE,
        "shape": (len(transform.names),),
        "columns": transform.names,
        "features": transform.groups,
    }
