"""Prepare a dataset: decode it, split it and cache both as files that all workers map.

    <cache>/decoded/<name>-<key>/
        training/{inputs,labels,groups}.npy  training and validation set
        split-<key>/{train,validation}.npy   row numbers into training/
        test-copies.npy                      how often each of them occurs in the test set
        meta.json

The test set is elsewhere, see `harness.data.seal`.

This module uses numpy only, so the driver need not import torch.

`groups` has the same number for examples whose inputs are equal. The copies of test examples are
counted when the test set is sealed, and of its labels nothing else is kept but a hash. After that,
`harness.test_set.sealed` alone reads the test set, and `harness predict` its images.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.builtin import find_dataset
from harness.data.cache import (
    create_folder,
    map_array,
    read_meta,
    short_hash,
    slugify,
    user_cache,
)
from harness.data.leakage import (
    DataQuality,
    GroupedExamples,
    count_test_copies,
    group_examples,
    hash_examples,
)
from harness.data.redrawn_splits import add_redrawn_splits, count_disjoint_splits
from harness.data.seal import TestFiles, choose_sealed_folder, write_sealed
from harness.data.split import (
    check_dataset,
    hold_out_test,
    select_classes,
    split_rows,
    take_validation,
)
from harness.data.split_files import (
    SPLIT_META,
    TEST_COPIES_FILE,
    read_data_quality,
    read_statistics,
    read_test_copies,
    write_split,
)
from harness.data.split_notes import (
    describe_constant,
    describe_small_validation,
    describe_validation,
)
from harness.data.training_files import TrainingFiles
from harness.data.types import Array, DataOptions, DatasetArrays
from harness.errors import DataError

FORMAT = 7
"""Version of these files: increase it when their layout or meaning changes."""
EARLIER_VALUES = ("integers 0 to 65535", "transparent on white")
"""`DatasetArrays.values` that version 0.1.0 converted to the same bits: the split's hash stays."""
META = (
    "classes", "shape", "dtype", "scale", "columns", "indicators", "by_feature", "target",
    "test_rows", "test_examples", "test_digest", "notes", "values",
)  # fmt: skip
"""The keys of the decoded data's meta.json."""


@dataclass(frozen=True)
class PreparedDataset:
    """A dataset that is decoded, split and cached."""

    name: str
    location: str
    digest: str
    split_hash: str
    """SHA-256 of the data's digest and the row numbers of all splits."""
    sizes: dict[str, int]
    """Number of examples in `train`, `validation` and `test`."""
    own_test: bool
    """Whether the test set came with the dataset, and was not held out here."""
    training: TrainingFiles
    test: TestFiles
    test_digest: str
    """SHA-256 of the test set's inputs and labels, in order, whatever their name and folder."""
    data_quality: DataQuality
    notes: tuple[str, ...] = ()
    """See `DatasetArrays`, as for `values`."""
    values: tuple[str, ...] = ()
    size_note: str = ""
    """A warning of a small validation set; empty for none."""


def prepare(
    name: str,
    *,
    validation: float,
    test: float,
    split_seed: int,
    normalize: bool,
    own_test: bool = True,
    own_validation: bool = False,
    classes: Sequence[str] = (),
    drop_duplicates: bool = False,
    data_dir: Path | None = None,
    cache: Path | None = None,
    download: bool = True,
    redrawn: int = 0,
    **reading: Any,
) -> PreparedDataset:
    """Find, decode and split a dataset, or reuse the cached files of an earlier call.

    Args:
        name: The name of a built-in dataset, or the path of custom data.
        validation: Fraction of the training set to validate on, stratified by class.
        test: Fraction of all examples to hold out as the test set, stratified by class. Used only
            if the dataset has no test set, or if `own_test` is False.
        split_seed: Determines both splits.
        normalize: Whether `mean` and `std` are those of the training set; else 0 and the largest
            value.
        own_test: Whether to use the test set that the dataset comes with.
        own_validation: Whether to use the validation set that it comes with, instead of
            `validation`; else that is a part of the training set.
        classes: The classes to use; all if empty.
        drop_duplicates: Whether to remove training examples that also occur in the validation or
            test set.
        data_dir: The folder of the datasets, instead of $HARNESS_DATA_DIR.
        cache: The cache folder, instead of the user's.
        download: Whether missing files may be downloaded.
        redrawn: Number of splits to draw again from the training and validation examples, at most
            as many as the training set has room for.
        reading: The fields of `DataOptions`.

    Raises DataError.
    """
    options = DataOptions.of(**reading)
    source = find_dataset(name, data_dir, download, options)
    cache = cache or user_cache()
    own_test = own_test and source.has_test
    if own_validation and not source.has_validation:
        raise DataError(f"[data] own_validation: {name} has no validation set; leave it out")
    decoded_key = short_hash(
        FORMAT,
        source.digest,
        *(() if own_test else (test, split_seed)),
        *([classes] if classes else []),
        *(["own validation"] if own_validation else []),
    )
    folder = cache / "decoded" / f"{slugify(name)}-{decoded_key}"

    @functools.cache
    def decode() -> DatasetArrays:
        arrays = source.decode()
        arrays = check_dataset(select_classes(arrays, classes, name) if classes else arrays, name)
        arrays = arrays if own_validation else replace(arrays, is_validation=None)
        key = f"{name}: [data] test = {test}"
        return arrays if own_test else hold_out_test(arrays, test, split_seed, key)

    sealed = choose_sealed_folder(cache, folder.name)
    create_folder(folder, lambda new: _write_decoded(new, decode()))
    create_folder(sealed, lambda new: write_sealed(new, *_get_test_set(decode())))
    meta = read_meta(folder, set(META))
    split_key = short_hash(validation, split_seed, *(["unique"] if drop_duplicates else []))
    split_folder = folder / f"split-{split_key}"

    def choose_rows(labels: Array) -> tuple[Array, Array]:
        if own_validation:
            rows = map_array(folder / "training" / "validation.npy")
            return take_validation(labels, rows, meta["classes"], name)
        return split_rows(
            labels, validation, split_seed, f"{name}: [data] validation = {validation}"
        )

    training_folder = folder / "training"
    decode.cache_clear()
    create_folder(
        split_folder,
        lambda new: write_split(
            new,
            meta,
            training_folder,
            read_test_copies(folder, meta["test_examples"]),
            choose_rows,
            drop_duplicates,
        ),
    )
    split_meta = read_meta(split_folder, set(SPLIT_META))
    data_quality = read_data_quality(split_folder, split_meta)
    mean, std = read_statistics(split_meta, None if normalize else meta["scale"])
    constant = [n for n, each in enumerate(std) if not each] if isinstance(std, tuple) else []
    training = TrainingFiles(
        inputs=training_folder / "inputs.npy",
        labels=training_folder / "labels.npy",
        train_rows=split_folder / "train.npy",
        validation_rows=split_folder / "validation.npy",
        classes=tuple(meta["classes"]),
        shape=tuple(meta["shape"]),
        mean=mean,
        std=std,
        task=options.task,
        target=meta["target"],
        target_mean=split_meta["target_mean"],
        target_std=split_meta["target_std"],
        dtype=meta["dtype"],
        columns=tuple(meta["columns"]),
    )
    redrawn = min(redrawn, count_disjoint_splits(training))
    if redrawn:
        training = add_redrawn_splits(training, redrawn, split_seed, normalize, drop_duplicates)
    identity = f"{source.digest} {split_meta['rows']} {meta['test_rows']}"
    identity += "".join(f" {part}" for part in meta["values"] if part not in EARLIER_VALUES)
    digest = hashlib.sha256(identity.encode())
    return PreparedDataset(
        name=name,
        location=source.location,
        digest=source.digest,
        split_hash=digest.hexdigest(),
        sizes={split: contents.examples for split, contents in data_quality.parts.items()},
        own_test=own_test,
        training=training,
        test=TestFiles.in_folder(sealed),
        test_digest=meta["test_digest"],
        data_quality=data_quality,
        notes=(
            *meta["notes"],
            *([describe_validation(name, own_validation)] if source.has_validation else []),
            *describe_constant(name, constant, meta["columns"]),
        ),
        size_note=describe_small_validation(
            name, data_quality.parts["validation"].examples, options.task
        ),
        values=tuple(meta["values"]),
    )


def _write_decoded(folder: Path, arrays: DatasetArrays) -> None:
    test_inputs, test_labels = _get_test_set(arrays)
    groups, test_groups = group_examples(arrays.inputs, test_inputs)
    training = folder / "training"
    training.mkdir()
    np.save(training / "inputs.npy", np.ascontiguousarray(arrays.inputs))
    np.save(training / "labels.npy", arrays.labels)
    np.save(training / "groups.npy", groups)
    if arrays.is_validation is not None:
        np.save(training / "validation.npy", np.flatnonzero(arrays.is_validation))
    copies = count_test_copies(
        GroupedExamples(groups, arrays.labels), GroupedExamples(test_groups, test_labels)
    )
    np.save(folder / TEST_COPIES_FILE, np.stack([copies.copies, copies.agreeing]))
    meta = {key: getattr(arrays, key) for key in META if hasattr(arrays, key)} | {
        "shape": arrays.inputs.shape[1:],
        "dtype": str(arrays.inputs.dtype),
        "by_feature": arrays.has_feature_statistics,
        "test_examples": len(test_labels),
        "test_digest": hash_examples(test_inputs, test_labels),
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def _get_test_set(arrays: DatasetArrays) -> tuple[Array, Array]:
    assert arrays.test is not None
    return arrays.test
