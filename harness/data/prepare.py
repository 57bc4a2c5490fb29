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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.data.builtin import find_dataset
from harness.data.cache import (
    create_folder,
    map_array,
    read_meta,
    short_hash,
    slugify,
    user_cache,
)
from harness.data.decoded_files import META, get_test_set, write_decoded
from harness.data.folds import add_folds, draw_folds
from harness.data.further_splits import SplitWriter
from harness.data.leakage import DataQuality
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
    read_data_quality,
    read_statistics,
    read_test_copies,
    write_split,
)
from harness.data.split_fit import Reshuffling, SplitFitter
from harness.data.split_hash import hash_split
from harness.data.split_notes import (
    describe_constant,
    describe_small_validation,
    describe_validation,
)
from harness.data.split_rule import FILES, SplitRule
from harness.data.table_features import read_layout
from harness.data.target_leaks import describe_target_leaks
from harness.data.training_files import TrainingFiles, select_features
from harness.data.types import (
    Array,
    DataOptions,
    DatasetArrays,
    LabelType,
    Normalize,
    get_scaling,
)
from harness.errors import DataError
from harness.scoring.table_transform import TableTransform

FORMAT = 10
"""Version of these files: increase it when their layout or meaning changes."""


@dataclass(frozen=True)
class PreparedDataset:
    """A dataset that is decoded, split and cached."""

    name: str
    location: str
    digest: str
    split_hash: str
    """SHA-256 of the data's digest and the row numbers of all splits."""
    sizes: dict[str, int]
    """Number of examples in `train`, `validation` and `test`. With folds, `train` is that of the
    first fold, and `validation` that of all folds together."""
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
    report: tuple[dict[str, Any], ...] = ()
    """What became of each column of a table; see `harness.data.table_notes`."""
    table: TableTransform | None = None
    """See `DatasetArrays`."""
    size_note: str = ""
    """A warning of a small validation set; empty for none."""
    label_type: LabelType = "text"


def prepare(
    name: str,
    *,
    validation: float,
    test: float,
    split_seed: int,
    normalize: Normalize,
    own_test: bool = True,
    own_validation: bool = False,
    folds: int = 0,
    reshuffle: bool = False,
    classes: Sequence[str] = (),
    drop_duplicates: bool = False,
    stratify: bool = False,
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
            value. Or how the numbers of a table are scaled.
        own_test: Whether to use the test set that the dataset comes with.
        own_validation: Whether to use the validation set that it comes with, instead of
            `validation`; else that is a part of the training set.
        folds: Number of folds of a cross-validation, instead of `validation`; 0 for one split.
        reshuffle: Whether each trial draws folds of its own.
        classes: The classes to use; all if empty.
        drop_duplicates: Whether to remove training examples that also occur in the validation or
            test set.
        stratify: Whether low and high targets of a regression get equal shares in each set.
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
        *(["stratify"] if stratify and not own_test else []),
        *([options.max_categories] if options.max_categories else []),
    )
    folder = cache / "decoded" / f"{slugify(name)}-{decoded_key}"

    @functools.cache
    def decode() -> DatasetArrays:
        arrays = source.decode()
        arrays = check_dataset(select_classes(arrays, classes, name) if classes else arrays, name)
        arrays = arrays if own_validation else replace(arrays, is_validation=None)
        key = f"{name}: [data] test = {test}"
        if own_test:
            return arrays
        return hold_out_test(arrays, test, split_seed, key, stratify)

    sealed = choose_sealed_folder(cache, folder.name)
    create_folder(folder, lambda new: write_decoded(new, decode()))
    create_folder(sealed, lambda new: write_sealed(new, *get_test_set(decode())))
    meta = read_meta(folder, set(META))
    scaling = get_scaling(normalize)
    if scaling and not meta["table"]:
        raise DataError(
            f'[data] normalize = "{scaling}": scales the columns of a table, and {name} is none; '
            "leave it out"
        )
    split_key = short_hash(
        validation,
        split_seed,
        *(["unique"] if drop_duplicates else []),
        *(["stratify"] if stratify else []),
        *([scaling] if scaling else []),
        *([f"{folds} folds"] if folds else []),
    )
    split_folder = folder / f"split-{split_key}"

    key = (
        f"{name}: [data] folds = {folds}" if folds else f"{name}: [data] validation = {validation}"
    )

    def choose_rows(labels: Array) -> list[tuple[Array, Array]]:
        if own_validation:
            rows = map_array(folder / "training" / "validation.npy")
            return [take_validation(labels, rows, meta["classes"], name)]
        if folds:
            return draw_folds(labels, folds, split_seed, rule, meta["classes"], key)
        return [split_rows(labels, validation, split_seed, key, rule)]

    training_folder = folder / "training"
    rule = SplitRule.read(training_folder, stratify)
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
            scaling,
        ),
    )
    split_meta = read_meta(split_folder, set(SPLIT_META))
    data_quality = read_data_quality(split_folder, split_meta)
    mean, std = read_statistics(split_meta, None if normalize is True else meta["scale"])
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
    table = read_layout(meta)
    if table is not None:
        training = replace(training, dtype="float32", **select_features(training, split_folder))
    fitter = SplitFitter.of(folder, meta, normalize, drop_duplicates)
    writer = SplitWriter(training, fitter)
    if folds:
        reshuffling = None
        if reshuffle:
            groups = None if rule.groups is None else training_folder / FILES["groups"]
            reshuffling = Reshuffling(fitter, folds, split_seed, stratify, groups)
        training = add_folds(writer, folds, split_seed, rule, key, reshuffling)
    elif redrawn:
        count = min(redrawn, count_disjoint_splits(training, rule))
        training = add_redrawn_splits(writer, count, split_seed, rule)
    return PreparedDataset(
        name=name,
        location=source.location,
        digest=source.digest,
        split_hash=hash_split(source.digest, meta, split_meta["rows"], table, training),
        sizes={split: contents.examples for split, contents in data_quality.parts.items()},
        own_test=own_test,
        training=training,
        test=TestFiles.in_folder(sealed),
        test_digest=meta["test_digest"],
        data_quality=data_quality,
        notes=(
            *meta["notes"],
            *([describe_validation(name, own_validation)] if source.has_validation else []),
            *describe_constant(name, constant, training.columns),
            *describe_target_leaks(name, split_meta["leaks"], options.task == "regression"),
        ),
        size_note=describe_small_validation(
            name, data_quality.parts["validation"].examples, options.task
        ),
        values=tuple(meta["values"]),
        report=tuple(meta["report"]),
        table=table,
        label_type=meta["label_type"],
    )
