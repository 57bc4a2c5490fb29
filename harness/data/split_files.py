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
from harness.data.table_features import identify_inputs, read_layout, write_features
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
    choose_rows: Callable[[Array], tuple[Array, Array]],
    drop_duplicates: bool,
    scaling: ScalingKind | None = None,
) -> None:
    """Write the row numbers of the training and the validation set, and what is counted of them.

    Args:
        folder: The folder of the split.
        meta: The decoded data's meta.json.
        training: The folder of the decoded training set.
        test: What was counted of the test set when it was sealed.
        choose_rows: labels -> the row numbers of the training and of the validation set.
        drop_duplicates: See `prepare`.
        scaling: Of the features of a table's numbers.

    Raises DataError.
    """
    inputs, examples = map_array(training / "inputs.npy"), read_groups(training)
    table = read_layout(meta)
    train, validation = choose_rows(examples.labels)
    count = len(train)
    if drop_duplicates:
        train = drop_copies(train, examples, examples[validation], test.copies > 0, meta["classes"])
    np.save(folder / "train.npy", train)
    np.save(folder / "validation.npy", validation)
    labels = examples.labels
    rows = {"train": train, "validation": validation}
    digests = {
        part: hash_examples(identify_inputs(inputs[chosen], table), labels[chosen])
        for part, chosen in rows.items()
    } | {"test": meta["test_digest"]}
    dropped, indicators = count - len(train), meta["indicators"]
    leaks: list[tuple[str, float]] = []
    if table is not None:
        inputs, transform = write_features(folder, inputs, table, train, scaling)
        indicators = transform.indicators
        leaks = find_target_leaks(inputs[train], labels[train], transform)
    if not meta["by_feature"]:
        indicators = None
    split_meta = describe_rows(indicators, inputs[train], labels[train]) | {
        "rows": hash_rows(train, validation),
        "leaks": leaks,
        "fairness": measure_data_quality(
            examples, rows, test, digests, len(meta["classes"]), dropped
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
