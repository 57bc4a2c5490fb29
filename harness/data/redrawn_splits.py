"""Splits that are drawn again from the training and validation examples, for confirmation runs.

Each has another validation set: a part of the study's own training set. The study's own validation
set, on which the settings were chosen, becomes training data. The parts do not overlap, so
that their examples are independent.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from harness.data.cache import map_array, short_hash
from harness.data.further_splits import SplitWriter
from harness.data.split import PLAIN
from harness.data.split_rule import SplitRule, deal_groups, get_strata
from harness.data.training_files import TrainingFiles
from harness.data.types import Array


def draw_validation(
    labels: Array, size: int, index: int, seed: int, rule: SplitRule = PLAIN
) -> Array:
    """Return the positions of a new validation set, sorted, int64 [size].

    By groups, the size is as near as they allow. By time, the first one is before the study's own
    validation set, and each next one is earlier.

    Args:
        labels: [N] int64 classes, which are stratified, or float32 targets, which are not unless
            the rule says so.
        size: Number of examples, at most N.
        index: Which one of the N // size that do not overlap, counted from 0.
        seed: Determines all of them.
    """
    if rule.times is not None:
        order = np.argsort(-rule.times, kind="stable")
        return np.sort(order[index * size : (index + 1) * size])
    if rule.groups is not None:
        count = min(len(labels) // size, len(np.unique(rule.groups)))
        return deal_groups(labels, rule.groups, count, seed)[index]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    strata = get_strata(labels, rule, size)
    if strata is not None:
        # Sorted by each example's place within its class, every part has all classes' shares.
        place = np.empty(len(labels))
        for number in np.unique(strata):
            rows = order[strata[order] == number]
            place[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
        order = np.argsort(place, kind="stable")
    return np.sort(order[index * size : (index + 1) * size])


def count_disjoint_splits(files: TrainingFiles, rule: SplitRule = PLAIN) -> int:
    """Return how many validation sets the training set has room for, without an example twice.

    More would show the variance of seeds, but no new examples. By time, half of the training set
    stays before the earliest one.
    """
    train, validation = map_array(files.train_rows), map_array(files.validation_rows)
    count = len(train) // len(validation)
    if rule.times is not None:
        return len(train) // (2 * len(validation))
    if rule.groups is not None:
        count = min(count, len(np.unique(rule.groups[train])))
        return count if count > 1 else 0
    return count


def add_redrawn_splits(
    writer: SplitWriter, count: int, seed: int, rule: SplitRule = PLAIN
) -> TrainingFiles:
    """Return the writer's files with `count` splits in `redrawn`, written where they are missing.

    `rule` is that of the study's own split. Raises DataError.
    """
    redrawn = [
        writer.create(
            f"redrawn-{short_hash(seed, index)}",
            partial(_choose_rows, writer.files, index, seed, rule),
        )
        for index in range(count)
    ]
    return replace(writer.files, redrawn=tuple(redrawn))


def _choose_rows(
    files: TrainingFiles, index: int, seed: int, rule: SplitRule
) -> tuple[Array, Array]:
    labels = map_array(files.labels)
    train, old = map_array(files.train_rows), map_array(files.validation_rows)
    picked = draw_validation(labels[train], len(old), index, seed, rule[train])
    validation = train[picked]
    rest = np.sort(np.concatenate([np.delete(train, picked), old]))
    if rule.times is not None:
        rest = train[rule.times[train] < rule.times[validation].min()]
    return rest, validation
