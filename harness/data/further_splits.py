"""Writes further splits of data that is split already, and reads them as TrainingFiles.

Each has a folder beside the study's own split, with statistics, and the features of a table, that
are fitted to its own training rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.cache import create_folder, map_array, read_meta
from harness.data.split import drop_copies
from harness.data.split_files import (
    STATISTICS,
    describe_rows,
    read_groups,
    read_statistics,
    read_test_copies,
)
from harness.data.table_features import read_layout, write_features
from harness.data.training_files import TrainingFiles, select_features
from harness.data.types import Array, Normalize, get_scaling

META = {"scale", "by_feature", "indicators", "classes", "test_examples", "table"}


@dataclass(frozen=True)
class SplitWriter:
    """Creates splits of the same examples as `files`."""

    files: TrainingFiles
    """Those of the study's own split."""
    normalize: Normalize
    """See `prepare`, as for `drop_duplicates`."""
    drop_duplicates: bool

    @cached_property
    def meta(self) -> dict[str, Any]:
        return read_meta(self.files.labels.parent.parent, META)

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
            is_held_out: Whether the validation set is no part of the training set. Only then are
                its copies dropped from there.

        Raises DataError.
        """
        files = self.files
        own_folder = files.train_rows.parent
        folder = own_folder.with_name(f"{own_folder.name}-{suffix}")
        create_folder(folder, partial(self._write, choose_rows, is_held_out))
        read = read_meta(folder, set(STATISTICS))
        mean, std = read_statistics(read, None if self.normalize is True else self.meta["scale"])
        fitted: dict[str, Any] = {}
        if files.transform is not None:
            fitted = select_features(files, folder)
        return replace(
            files,
            **fitted,
            train_rows=folder / "train.npy",
            validation_rows=folder / "validation.npy",
            mean=mean,
            std=std,
            target_mean=read["target_mean"],
            target_std=read["target_std"],
        )

    def _write(
        self, choose_rows: Callable[[], tuple[Array, Array]], is_held_out: bool, folder: Path
    ) -> None:
        meta, training = self.meta, self.files.labels.parent
        examples = read_groups(training)
        train, validation = choose_rows()
        if self.drop_duplicates:
            in_test = read_test_copies(training.parent, meta["test_examples"]).copies > 0
            others = examples[validation if is_held_out else validation[:0]]
            train = drop_copies(train, examples, others, in_test, meta["classes"])
        np.save(folder / "train.npy", train)
        np.save(folder / "validation.npy", validation)
        inputs, indicators = map_array(self.files.inputs), meta["indicators"]
        if (table := read_layout(meta)) is not None:
            cells, scaling = map_array(training / "inputs.npy"), get_scaling(self.normalize)
            inputs, transform = write_features(
                folder, cells, table, train, scaling, self.files.inputs
            )
            indicators = transform.indicators
        statistics = describe_rows(
            indicators if meta["by_feature"] else None, inputs[train], examples.labels[train]
        )
        (folder / "meta.json").write_text(json.dumps(statistics))
