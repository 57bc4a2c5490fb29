"""The folds of a cross-validation: splits that together validate on every example once.

By time, each fold validates on the rows after its training rows, as scikit-learn's TimeSeriesSplit;
the first rows are in no validation set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from harness.data.cache import map_array
from harness.data.further_splits import SplitWriter
from harness.data.split_fit import Reshuffling
from harness.data.split_rule import SplitRule, deal_groups, get_strata
from harness.data.training_files import TrainingFiles
from harness.data.types import Array
from harness.errors import DataError

Rows = tuple[Array, Array]
"""The row numbers of a training and of a validation set, sorted."""


def draw_folds(
    labels: Array, folds: int, seed: int, rule: SplitRule, classes: Sequence[str], key: str
) -> list[Rows]:
    """Return the rows of each fold; the sizes of the validation sets differ by 1 at most.

    Classes have equal shares, as in scikit-learn's StratifiedKFold; a class with fewer examples
    than folds is missing in some validation sets. Groups stay whole, and their sizes may make the
    folds unequal. By time, the first fold is the latest.

    Args:
        labels: [N] int64 classes or float32 targets.
        folds: Number of folds, at least 2.
        seed: Determines all of them.
        rule: What they respect.
        classes: The names of the classes; empty for a regression.
        key: Names the dataset and the key of [data] in errors.

    Raises DataError.
    """
    if len(labels) < folds:
        raise DataError(f"{key}: only {len(labels)} examples to train and validate; use fewer")
    if rule.times is not None:
        parts = _split_by_time(rule.times, folds, key)
    else:
        if rule.groups is not None:
            held_out = _deal_groups(labels, rule.groups, folds, seed, key)
        else:
            held_out = _deal_rows(labels, folds, seed, rule)
        rows = np.arange(len(labels))
        parts = [(np.setdiff1d(rows, validation), validation) for validation in held_out]
    for number, (train, _) in enumerate(parts, 1):
        counts = np.bincount(labels[train], minlength=len(classes)) if classes else [1]
        if not np.all(counts):
            raise DataError(
                f"{key}: fold {number} has no training example of class "
                f"'{classes[int(np.argmin(counts))]}'; use fewer folds or another [data] "
                "split_seed, or leave that class out by [data] classes"
            )
    return parts


def add_folds(
    writer: SplitWriter,
    folds: int,
    seed: int,
    rule: SplitRule,
    key: str,
    reshuffling: Reshuffling | None = None,
) -> TrainingFiles:
    """Return the writer's files, the first fold, with `folds`, `whole` and `reshuffling`.

    They are written where they are missing. For the other arguments see `draw_folds`. Raises
    DataError.
    """
    files = writer.files
    labels = map_array(files.labels)

    @cache
    def draw() -> list[Rows]:
        return draw_folds(labels, folds, seed, rule, files.classes, key)

    def choose(index: int) -> Rows:
        return draw()[index]

    others = [
        writer.create(f"fold-{index + 1}", lambda index=index: choose(index))  # type: ignore[misc]
        for index in range(1, folds)
    ]
    whole = writer.create("whole", lambda: (np.arange(len(labels)), choose(0)[1]), False)
    return replace(files, folds=(files, *others), whole=whole, reshuffling=reshuffling)


def _deal_rows(labels: Array, folds: int, seed: int, rule: SplitRule) -> list[Array]:
    order = np.random.default_rng(seed).permutation(len(labels))
    strata = get_strata(labels, rule, -(-len(labels) // folds))
    if strata is not None:
        order = order[np.argsort(strata[order], kind="stable")]
    return [np.sort(order[index::folds]) for index in range(folds)]


def _deal_groups(labels: Array, groups: Array, folds: int, seed: int, key: str) -> list[Array]:
    count = len(np.unique(groups))
    if count < folds:
        raise DataError(f"{key}: [data] group has only {count} values; use at most as many folds")
    parts = deal_groups(labels, groups, folds, seed)
    if not all(map(len, parts)):
        raise DataError(
            f"{key}: the groups are too unequal for so many folds; use fewer folds or another "
            "[data] split_seed"
        )
    return parts


def _split_by_time(times: Array, folds: int, key: str) -> list[Rows]:
    """Rows of one time stay together."""
    ordered, different = np.sort(times), np.unique(times)
    if len(different) < folds + 1:
        raise DataError(
            f"{key}: [data] time has only {len(different)} different values, and each fold needs "
            "another one, as do the first rows; use fewer folds"
        )
    parts, end = [], len(different)
    for index in range(1, folds + 1):
        size = -(-index * len(times) // (folds + 1))
        place = int(np.searchsorted(different, ordered[len(times) - size]))
        place = min(max(place, folds + 1 - index), end - 1)
        is_held_out = times >= different[place]
        if end < len(different):
            is_held_out &= times < different[end]
        parts.append((np.flatnonzero(times < different[place]), np.flatnonzero(is_held_out)))
        end = place
    return parts
