"""Fits a further split of examples that are split already: statistics, and features of a table.

Both are fitted to the split's own training rows. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.cache import map_array
from harness.data.leakage import GroupedExamples
from harness.data.split import drop_copies
from harness.data.split_files import (
    TEST_COPIES_FILE,
    describe_rows,
    read_statistics,
)
from harness.data.table_features import fit_features, read_layout
from harness.data.types import Array, Normalize, get_scaling
from harness.scoring.table_transform import TableTransform

META = ("scale", "by_feature", "indicators", "classes", "table")


@dataclass(frozen=True)
class FittedSplit:
    """A split, and what was fitted to its training rows."""

    train: Array
    """Row numbers, sorted."""
    validation: Array
    statistics: dict[str, Any]
    """See `describe_rows`."""
    features: Array | None = None
    """[all, D] of a table."""
    transform: TableTransform | None = None
    """Made the features of a table."""


@dataclass(frozen=True)
class SplitFitter:
    """Fits splits of the examples of a cache folder. It can be sent to another process."""

    folder: Path
    """The decoded data; see `harness.data.prepare`."""
    meta: dict[str, Any]
    """The entries META of its meta.json."""
    normalize: Normalize
    """See `prepare`, as for `drop_duplicates`."""
    drop_duplicates: bool

    @classmethod
    def of(
        cls, folder: Path, meta: Mapping[str, Any], normalize: Normalize, drop_duplicates: bool
    ) -> SplitFitter:
        """Return the fitter of the examples in a folder, with its meta.json."""
        return cls(folder, {key: meta[key] for key in META}, normalize, drop_duplicates)

    @property
    def training(self) -> Path:
        return self.folder / "training"

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that `fit` reads."""
        examples = self.training / "groups.npy", self.training / "labels.npy"
        return *examples, self.training / "inputs.npy", self.folder / TEST_COPIES_FILE

    def fit(
        self,
        train: Array,
        validation: Array,
        is_held_out: bool = True,
        read: Callable[[Path], Array] = map_array,
    ) -> FittedSplit:
        """Fit a split to its training rows.

        Args:
            train: Row numbers.
            validation: Row numbers.
            is_held_out: Whether the validation set is no part of the training set. Only then are
                its copies dropped from there.
            read: Reads one of `paths`.

        Raises DataError.
        """
        meta, groups = self.meta, self.training / "groups.npy"
        examples = GroupedExamples(read(groups), read(self.training / "labels.npy"))
        if self.drop_duplicates:
            in_test = read(self.folder / TEST_COPIES_FILE)[0] > 0
            others = examples[validation if is_held_out else validation[:0]]
            train = drop_copies(train, examples, others, in_test, meta["classes"])
        inputs, indicators = read(self.training / "inputs.npy"), meta["indicators"]
        features = transform = None
        if (table := read_layout(meta)) is not None:
            transform = fit_features(inputs, table, train, get_scaling(self.normalize))
            inputs = features = transform.apply(np.asarray(inputs), table)
            indicators = transform.indicators
        statistics = describe_rows(
            indicators if meta["by_feature"] else None, inputs[train], examples.labels[train]
        )
        return FittedSplit(train, validation, statistics, features, transform)

    def describe_statistics(self, statistics: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of TrainingFiles that a split's statistics determine."""
        scale = None if self.normalize is True else self.meta["scale"]
        mean, std = read_statistics(statistics, scale)
        targets = {key: statistics[key] for key in ("target_mean", "target_std")}
        return {"mean": mean, "std": std, **targets}


@dataclass(frozen=True)
class Reshuffling:
    """What the folds of each trial are drawn from; see `harness.data.reshuffled_folds`."""

    fitter: SplitFitter
    folds: int
    seed: int
    """The split's seed."""
    stratify: bool
    """See `SplitRule`."""
    groups: Path | None
    """The file of `SplitRule.groups`."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are read."""
        return *self.fitter.paths, *((self.groups,) if self.groups else ())
