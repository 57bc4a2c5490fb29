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
from harness.data.split import drop_copies
from harness.data.split_files import (
    STATISTICS,
    describe_rows,
    read_groups,
    read_statistics,
    read_test_copies,
)
from harness.data.training_files import TrainingFiles
from harness.data.types import Array


def draw_validation(labels: Array, size: int, index: int, seed: int) -> Array:
    """Return the positions of a new validation set, sorted, int64 [size].

    Args:
        labels: [N] int64 classes, which are stratified, or float32 targets, which are not.
        size: Number of examples, at most N.
        index: Which one of the N // size that do not overlap, counted from 0.
        seed: Determines all of them.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    if labels.dtype.kind != "f":
        # Sorted by each example's place within its class, every part has all classes' shares.
        place = np.empty(len(labels))
        for number in np.unique(labels):
            rows = order[labels[order] == number]
            place[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
        order = np.argsort(place, kind="stable")
    return np.sort(order[index * size : (index + 1) * size])


def count_disjoint_splits(files: TrainingFiles) -> int:
    """Return how many validation sets the training set has room for, without an example twice.

    More would show the variance of seeds, but no new examples.
    """
    return len(map_array(files.train_rows)) // len(map_array(files.validation_rows))


def add_redrawn_splits(
    files: TrainingFiles, count: int, seed: int, normalize: bool, drop_duplicates: bool
) -> TrainingFiles:
    """Return the files with `count` splits in `redrawn`, which are written where they are missing.

    `drop_duplicates` is that of `prepare`. Raises DataError.
    """
    root, split_folder = files.inputs.parent.parent, files.train_rows.parent
    meta = read_meta(root, {"scale", "by_feature", "indicators", "classes", "test_examples"})
    redrawn = []
    for index in range(count):
        folder = split_folder.with_name(f"{split_folder.name}-redrawn-{short_hash(seed, index)}")
        create_folder(folder, partial(_write, files, meta, index, seed, drop_duplicates))
        read = read_meta(folder, set(STATISTICS))
        mean, std = read_statistics(read, None if normalize else meta["scale"])
        redrawn.append(
            replace(
                files,
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
    folder: Path,
) -> None:
    examples = read_groups(files.inputs.parent)
    train, old = map_array(files.train_rows), map_array(files.validation_rows)
    picked = draw_validation(examples.labels[train], len(old), index, seed)
    validation = train[picked]
    rest = np.sort(np.concatenate([np.delete(train, picked), old]))
    if drop_duplicates:
        in_test = read_test_copies(files.inputs.parent.parent, meta["test_examples"]).copies > 0
        rest = drop_copies(rest, examples, examples[validation], in_test, meta["classes"])
    np.save(folder / "train.npy", rest)
    np.save(folder / "validation.npy", validation)
    statistics = describe_rows(meta, map_array(files.inputs)[rest], examples.labels[rest])
    (folder / "meta.json").write_text(json.dumps(statistics))
