"""Splits that are drawn again from the training and validation examples, for confirmation runs.

Each has another validation set: a part of the study's own training set. The study's own validation
set, on which the settings were chosen, becomes training data. The parts do not overlap, so
that their examples are independent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.cache import create_folder, map_array, read_meta, short_hash
from harness.data.split import PLAIN, drop_copies
from harness.data.split_files import (
    STATISTICS,
    describe_rows,
    read_groups,
    read_statistics,
    read_test_copies,
)
from harness.data.split_rule import SplitRule, deal_groups, get_strata
from harness.data.table_features import read_layout, write_features
from harness.data.training_files import TrainingFiles, select_features
from harness.data.types import Array, Normalize, get_scaling
from harness.scoring.feature_scaling import ScalingKind


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
    files: TrainingFiles,
    count: int,
    seed: int,
    normalize: Normalize,
    drop_duplicates: bool,
    rule: SplitRule = PLAIN,
) -> TrainingFiles:
    """Return the files with `count` splits in `redrawn`, which are written where they are missing.

    `drop_duplicates` is that of `prepare`, `rule` that of the study's own split. Raises DataError.
    """
    root, split_folder = files.labels.parent.parent, files.train_rows.parent
    meta = read_meta(
        root, {"scale", "by_feature", "indicators", "classes", "test_examples", "table"}
    )
    redrawn = []
    for index in range(count):
        folder = split_folder.with_name(f"{split_folder.name}-redrawn-{short_hash(seed, index)}")
        write = partial(
            _write, files, meta, index, seed, drop_duplicates, rule, get_scaling(normalize)
        )
        create_folder(folder, write)
        read = read_meta(folder, set(STATISTICS))
        mean, std = read_statistics(read, None if normalize is True else meta["scale"])
        fitted: dict[str, Any] = {}
        if files.transform is not None:
            fitted = select_features(files, folder)
        redrawn.append(
            replace(
                files,
                **fitted,
                train_rows=folder / "train.npy",
                validation_rows=folder / "validation.npy",
                mean=mean,
                std=std,
                target_mean=read["target_mean"],
                target_std=read["target_std"],
            )
        )
    return replace(files, redrawn=tuple(redrawn))


def _write(
    files: TrainingFiles,
    meta: Mapping[str, Any],
    index: int,
    seed: int,
    drop_duplicates: bool,
    rule: SplitRule,
    scaling: ScalingKind | None,
    folder: Path,
) -> None:
    training = files.labels.parent
    examples = read_groups(training)
    train, old = map_array(files.train_rows), map_array(files.validation_rows)
    picked = draw_validation(examples.labels[train], len(old), index, seed, rule[train])
    validation = train[picked]
    rest = np.sort(np.concatenate([np.delete(train, picked), old]))
    if rule.times is not None:
        rest = train[rule.times[train] < rule.times[validation].min()]
    if drop_duplicates:
        in_test = read_test_copies(training.parent, meta["test_examples"]).copies > 0
        rest = drop_copies(rest, examples, examples[validation], in_test, meta["classes"])
    np.save(folder / "train.npy", rest)
    np.save(folder / "validation.npy", validation)
    inputs, indicators = map_array(files.inputs), meta["indicators"]
    if (table := read_layout(meta)) is not None:
        cells = map_array(training / "inputs.npy")
        inputs, transform = write_features(folder, cells, table, rest, scaling, files.inputs)
        indicators = transform.indicators
    statistics = describe_rows(
        indicators if meta["by_feature"] else None, inputs[rest], examples.labels[rest]
    )
    (folder / "meta.json").write_text(json.dumps(statistics))
