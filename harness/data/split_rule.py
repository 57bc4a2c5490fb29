"""By what rows are split: classes of equal shares, groups that stay whole, or time."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.data.cache import map_array
from harness.data.types import Array
from harness.errors import DataError

BINS = 10
"""The parts of the targets of a regression that are stratified like classes."""
FILES = {"groups": "split-groups.npy", "times": "split-times.npy"}


@dataclass(frozen=True)
class SplitRule:
    """What a split of N rows respects; plain classes by default."""

    groups: Array | None = None
    """int64 [N]: rows of one group stay together."""
    times: Array | None = None
    """float64 [N]: the rows held out are the last ones."""
    stratify: bool = False
    """Whether the targets of a regression are stratified."""

    def __getitem__(self, rows: Array) -> SplitRule:
        return replace(
            self,
            groups=None if self.groups is None else self.groups[rows],
            times=None if self.times is None else self.times[rows],
        )

    def write(self, folder: Path) -> None:
        """Write it beside the rows."""
        for name, file in FILES.items():
            if (values := getattr(self, name)) is not None:
                np.save(folder / file, values)

    @classmethod
    def read(cls, folder: Path, stratify: bool) -> SplitRule:
        """Read what `write` wrote. Raises DataError."""
        values = {
            name: np.asarray(map_array(folder / file))
            for name, file in FILES.items()
            if (folder / file).exists()
        }
        return cls(**values, stratify=stratify)


def get_strata(labels: Array, rule: SplitRule, held_out: int) -> Array | None:
    """Return the classes that a split gives equal shares; None if there are none.

    `held_out`: the number of rows to hold out, of which each stratum needs one.
    """
    if labels.dtype.kind != "f":
        return labels
    bins = min(BINS, held_out, len(labels) - held_out, len(labels) // 2)
    if not rule.stratify or bins < 2:
        return None
    ranks = np.argsort(np.argsort(labels, kind="stable"), kind="stable")
    strata: Array = ranks * bins // len(labels)
    return strata


def split_by_time(times: Array, fraction: float, key: str) -> tuple[Array, Array]:
    """Split row numbers into the earlier ones, and the latest `fraction`, both sorted.

    Rows of one time stay together, and may make the later part larger. Raises DataError.
    """
    first = np.sort(times)[-math.ceil(fraction * len(times))]
    if first == times.min():
        later = times[times > first]
        if not len(later):
            raise DataError(f"{key} cannot be held out: all rows have the same [data] time")
        first = later.min()
    is_later = times >= first
    return np.flatnonzero(~is_later), np.flatnonzero(is_later)


def split_by_group(
    labels: Array, groups: Array, fraction: float, seed: int, key: str
) -> tuple[Array, Array]:
    """Split row numbers into (rest, held out), both sorted; a group is in one of them.

    Classes have shares as equal as the groups allow. Raises DataError.
    """
    count = len(np.unique(groups))
    parts = min(max(2, round(1 / fraction)), count)
    if count < 2:
        raise DataError(f"{key} cannot be held out: [data] group has only one value")
    if fraction > 0.5:
        held_out, rest = split_by_group(labels, groups, 1 - fraction, seed, key)
        return rest, held_out
    held_out = deal_groups(labels, groups, parts, seed)[0]
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def deal_groups(labels: Array, groups: Array, parts: int, seed: int) -> list[Array]:
    """Deal the groups into parts of equal size and equal shares of classes; return their rows."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    is_regression = labels.dtype.kind == "f"
    kind = GroupKFold if is_regression else StratifiedGroupKFold
    folds = kind(parts, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a class with fewer rows than parts
        try:
            return [np.sort(held) for _, held in folds.split(labels, labels, groups)]
        except ValueError:  # every class has fewer rows than parts
            folds = GroupKFold(parts, shuffle=True, random_state=seed)
            return [np.sort(held) for _, held in folds.split(labels, labels, groups)]


def check_classes(labels: Array, parts: tuple[Array, Array], key: str, classes: int) -> None:
    """Raise DataError if a part lacks a class, which groups or times can cause."""
    for rows in parts:
        if labels.dtype.kind != "f" and len(np.unique(labels[rows])) < classes:
            raise DataError(
                f"{key} cannot be held out: by [data] group or time, one part has no example of "
                "some class; choose another fraction or [data] split_seed, or leave that class "
                "out by [data] classes"
            )
