"""Writes further splits of data that is split already, and reads them as TrainingFiles.

Each has a folder beside the study's own split, with statistics, and the features of a table, that
are fitted to its own training rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.cache import create_folder, read_meta
from harness.data.split_files import STATISTICS
from harness.data.split_fit import SplitFitter
from harness.data.table_features import write_features
from harness.data.training_files import TrainingFiles, select_features
from harness.data.types import Array


@dataclass(frozen=True)
class SplitWriter:
    """Creates splits of the same examples as `files`."""

    files: TrainingFiles
    """Those of the study's own split."""
    fitter: SplitFitter

    def create(
        self,
        suffix: str,
        choose_rows: Callable[[], tuple[Array, Array]],
        is_held_out: bool = True,
    ) -> TrainingFiles:
        """Return the files of a split, which are written if they are missing.

        Args:
            suffix: What its folder's name ends in.
            choose_rows: Returns the row numbers of the training and of the validation set. Called
                only to write them.
            is_held_out: See `SplitFitter.fit`.

        Raises DataError.
        """
        files = self.files
        own_folder = files.train_rows.parent
        folder = own_folder.with_name(f"{own_folder.name}-{suffix}")
        create_folder(folder, partial(self._write, choose_rows, is_held_out))
        changed: dict[str, Any] = {
            "train_rows": folder / "train.npy",
            "validation_rows": folder / "validation.npy",
        }
        if files.transform is not None:
            changed |= select_features(files, folder)
        changed |= self.fitter.describe_statistics(read_meta(folder, set(STATISTICS)))
        return replace(files, **changed)

    def _write(
        self, choose_rows: Callable[[], tuple[Array, Array]], is_held_out: bool, folder: Path
    ) -> None:
        fitted = self.fitter.fit(*choose_rows(), is_held_out)
        np.save(folder / "train.npy", fitted.train)
        np.save(folder / "validation.npy", fitted.validation)
        if fitted.features is not None and fitted.transform is not None:
            write_features(folder, fitted.features, fitted.transform, self.files.inputs)
        (folder / "meta.json").write_text(json.dumps(fitted.statistics))
