"""Write the decoded data: arrays of the training and validation set, and meta.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harness.data.leakage import GroupedExamples, count_test_copies, group_examples, hash_examples
from harness.data.split_files import TEST_COPIES_FILE
from harness.data.split_rule import SplitRule
from harness.data.table_features import describe_layout, identify_inputs
from harness.data.types import Array, DatasetArrays

META = (
    "classes", "shape", "dtype", "scale", "columns", "indicators", "by_feature", "target",
    "test_rows", "test_examples", "test_digest", "notes", "values", "table", "report",
    "label_type",
)  # fmt: skip
"""The keys of the decoded data's meta.json."""


def write_decoded(folder: Path, arrays: DatasetArrays) -> None:
    """Write the training and validation set, and what is counted of the test set."""
    test_inputs, test_labels = get_test_set(arrays)
    test_inputs = identify_inputs(test_inputs, arrays.table)
    groups, test_groups = group_examples(identify_inputs(arrays.inputs, arrays.table), test_inputs)
    training = folder / "training"
    training.mkdir()
    np.save(training / "inputs.npy", np.ascontiguousarray(arrays.inputs))
    np.save(training / "labels.npy", arrays.labels)
    np.save(training / "groups.npy", groups)
    SplitRule(arrays.groups, arrays.times).write(training)
    if arrays.is_validation is not None:
        np.save(training / "validation.npy", np.flatnonzero(arrays.is_validation))
    copies = count_test_copies(
        GroupedExamples(groups, arrays.labels), GroupedExamples(test_groups, test_labels)
    )
    np.save(folder / TEST_COPIES_FILE, np.stack([copies.copies, copies.agreeing]))
    meta = {key: getattr(arrays, key) for key in META if hasattr(arrays, key)} | {
        "table": describe_layout(arrays.table),
        "shape": arrays.inputs.shape[1:],
        "dtype": str(arrays.inputs.dtype),
        "by_feature": arrays.has_feature_statistics,
        "test_examples": len(test_labels),
        "test_digest": hash_examples(test_inputs, test_labels),
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def get_test_set(arrays: DatasetArrays) -> tuple[Array, Array]:
    """Return the inputs and labels of the test set, which the dataset has or was given."""
    assert arrays.test is not None
    return arrays.test
