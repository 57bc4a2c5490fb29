"""Write a split of decoded data: row numbers, statistics, duplicates and digests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.cache import map_array, unreadable_error
from harness.data.leakage import (
    DataQuality,
    GroupedExamples,
    TestCopies,
    hash_examples,
    measure_data_quality,
)
from harness.data.split import compute_statistics, drop_copies, hash_rows
from harness.data.table_features import (
    fit_features,
    identify_inputs,
    read_layout,
    write_features,
)
from harness.data.target_leaks import find_target_leaks
from harness.data.types import Array
from harness.scoring.feature_scaling import ScalingKind

STATISTICS = ("mean", "std", "target_mean", "target_std")
"""The keys of a split's meta.json that `describe_rows` computes."""
SPLIT_META = (*STATISTICS, "rows", "fairness", "leaks")
"""The keys of a split's meta.json."""
TEST_COPIES_FILE = "test-copies.npy"
"""The arrays of `TestCopies`, int64 [2, N], in the folder of the decoded data."""


def write_split(
    folder: Path,
    meta: Mapping[str, Any],
    training: Path,
    test: TestCopies,
    choose_rows: Callable[[Array], Sequence[tuple[Array, Array]]],
    drop_duplicates: bool,
    scaling: ScalingKind | None = None,
) -> None:
    """Write the row numbers of the training and the validation set, and what is counted of them.

    Of several folds, the rows and statistics are those of the first. The validation set that is
    counted is that of all folds together.

    Args:
        folder: The folder of the split.
        meta: The decoded data's meta.json.
        training: The folder of the decoded training set.
        test: What was counted of the test set when it was sealed.
        choose_rows: labels -> the row numbers of the training and of the validation set, one pair
            for each fold.
        drop_duplicates: See `prepare`.
        scaling: Of the features of a table's numbers.

    Raises DataError.
    """
    inputs, examples = map_array(training / "inputs.npy"), read_groups(training)
    table = read_layout(meta)
    folds, dropped = [], np.arange(0)
    for train, validation in choose_rows(examples.labels):
        kept = train
        if drop_duplicates:
            others = examples[validation]
            kept = drop_copies(train, examples, others, test.copies > 0, meta["classes"])
        dropped = np.union1d(dropped, np.setdiff1d(train, kept))
        folds.append((kept, validation))
    train, validation = folds[0]
    np.save(folder / "train.npy", train)
    np.save(folder / "validation.npy", validation)
    labels = examples.labels
    rows = {"train": train, "validation": np.concatenate([each for _, each in folds])}
    digests = {
        part: hash_examples(identify_inputs(inputs[chosen], table), labels[chosen])
        for part, chosen in rows.items()
    } | {"test": meta["test_digest"]}
    indicators = meta["indicators"]
    leaks: list[tuple[str, float]] = []
    if table is not None:
        transform = fit_features(inputs, table, train, scaling)
        inputs = transform.apply(np.asarray(inputs), table)
        write_features(folder, inputs, transform)
        indicators = transform.indicators
        leaks = find_target_leaks(inputs[train], labels[train], transform)
    if not meta["by_feature"]:
        indicators = None
    split_meta = describe_rows(indicators, inputs[train], labels[train]) | {
        "rows": hash_rows(*(each for fold in folds for each in fold)),
        "leaks": leaks,
        "fairness": measure_data_quality(
            examples, rows, folds, test, digests, len(meta["classes"]), len(dropped)
        ).to_dict(),
    }
    (folder / "meta.json").write_text(json.dumps(split_meta))


def describe_rows(indicators: Sequence[int] | None, inputs: Array, labels: Array) -> dict[str, Any]:
    """Return the statistics of a training set, by the names of STATISTICS.

    `indicators`: see `compute_statistics`.
    """
    mean, std = compute_statistics(inputs, indicators)
    targets = labels if labels.dtype.kind == "f" else np.array([-1.0, 1.0])
    return {
        "mean": mean.tolist(),
        "std": std.tolist(),
        "target_mean": float(targets.mean(dtype=np.float64)),
        "target_std": float(targets.std(dtype=np.float64)) or 1.0,
    }


def read_statistics(
    meta: Mapping[str, Any], scale: float | None
) -> tuple[float | tuple[float, ...], float | tuple[float, ...]]:
    """Return mean and standard deviation of the training set, or 0 and `scale` if that is given.

    The deviation of a feature that is constant in the training set is 0 in both cases.
    """
    mean, std = meta["mean"], meta["std"]
    if not isinstance(std, list):
        return (mean, std) if scale is None else (0.0, scale)
    if scale is None:
        return tuple(mean), tuple(std)
    if all(std):
        return 0.0, scale
    return (0.0,) * len(std), tuple(scale if each else 0.0 for each in std)


def read_data_quality(folder: Path, meta: dict[str, Any]) -> DataQuality:
    """Read what was counted in a split. Raises DataError."""
    try:
        return DataQuality.from_dict(meta["fairness"])
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable_error(folder, f"fairness in its meta.json: {error!r}") from None


def read_test_copies(folder: Path, examples: int) -> TestCopies:
    """Read what was counted of the test set, which has that many examples."""
    copies, agreeing = map_array(folder / TEST_COPIES_FILE)
    return TestCopies(copies, agreeing, examples)


def read_groups(folder: Path) -> GroupedExamples:
    """Read the labels of a split, and the numbers of its equal inputs."""
    return GroupedExamples(map_array(folder / "groups.npy"), map_array(folder / "labels.npy"))
