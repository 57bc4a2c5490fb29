"""Split a dataset into training, validation and test set, by row numbers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.data.leakage import GroupedExamples, find_copies
from harness.data.similar_names import describe_similar_names
from harness.data.split_rule import (
    SplitRule,
    check_classes,
    get_strata,
    split_by_group,
    split_by_time,
)
from harness.data.types import Array, DatasetArrays
from harness.errors import DataError, did_you_mean

PLAIN = SplitRule()
MAX_CLASSES = 256
"""Predictions are recorded as one byte each."""
MAX_CLASS_NAME = 100
"""Characters of a class name, which becomes part of a metric's name."""


def check_dataset(arrays: DatasetArrays, name: str) -> DatasetArrays:
    """Return the dataset if it can be trained on, with a note on classes of similar names.

    Raises DataError.
    """
    labels, classes = arrays.labels, arrays.classes
    if labels.dtype.kind == "f":
        if labels.min() == labels.max():
            raise DataError(f"{name}: every target is {labels[0]:g}; there is nothing to predict")
        return arrays
    if len(classes) < 2:
        raise DataError(
            f"{name}: has only one class ({', '.join(classes)}); a classifier needs at least two"
        )
    if len(classes) > MAX_CLASSES:
        raise DataError(
            f"{name}: {len(classes):,} classes, such as '{classes[0]}' and '{classes[1]}'; at most "
            f"{MAX_CLASSES} are supported; choose some by [data] classes, or predict numbers by "
            'task = "regression"'
        )
    for number, count in enumerate(np.bincount(labels, minlength=len(classes))):
        class_name = classes[number]
        if count < 2:
            raise DataError(
                f"{name}: class '{class_name}' has {'one example' if count else 'no example'} "
                "to train on, and every class needs one in training and one in validation; add "
                "some, or leave it out by [data] classes"
            )
        is_readable = class_name.isprintable() and class_name.strip()
        if len(class_name) > MAX_CLASS_NAME or not is_readable:
            raise DataError(
                f"{name}: a class is called {class_name[:MAX_CLASS_NAME]!r}; a name is 1 to "
                f"{MAX_CLASS_NAME} letters on one line"
            )
    return replace(arrays, notes=(*arrays.notes, *describe_similar_names(classes, name, "classes")))


def split_rows(
    labels: Array, fraction: float, seed: int, key: str, rule: SplitRule = PLAIN
) -> tuple[Array, Array]:
    """Split row numbers into (rest, held out), both sorted, with scikit-learn.

    Classes are stratified; the targets of a regression only if the rule says so. `key` names the
    dataset and the key of [data] in errors. Raises DataError.
    """
    from sklearn.model_selection import train_test_split

    if rule.groups is not None or rule.times is not None:
        if rule.times is not None:
            parts = split_by_time(rule.times, fraction, key)
        elif rule.groups is not None:
            parts = split_by_group(labels, rule.groups, fraction, seed, key)
        check_classes(labels, parts, key, len(np.unique(labels)))
        return parts
    held_out_count, needed = math.ceil(fraction * len(labels)), 1
    classes = get_strata(labels, rule, held_out_count)
    if classes is not None and labels.dtype.kind != "f":
        counts = np.unique(classes, return_counts=True)[1]
        needed = len(counts)
        if counts.min() < 2:
            raise DataError(
                f"{key} cannot be held out: one class has only a single example left; give more "
                "of it, or leave it out by [data] classes"
            )
    if min(held_out_count, len(labels) - held_out_count) < needed:
        is_held_out = held_out_count < needed
        few = f"{held_out_count:,} of {len(labels):,} examples" if is_held_out else "the rest"
        examples = (
            "at least one example" if needed == 1 else f"one of each of the {needed:,} classes"
        )
        raise DataError(
            f"{key} cannot be held out: {few} cannot hold {examples}; choose another fraction, "
            "or give more data"
        )
    rest, held_out = train_test_split(
        np.arange(len(labels)), test_size=fraction, stratify=classes, random_state=seed
    )
    return np.sort(rest), np.sort(held_out)


def take_validation(
    labels: Array, validation: Array, classes: Sequence[str], name: str
) -> tuple[Array, Array]:
    """Return the row numbers of the training set and of the validation set that the data has.

    Raises DataError if one of them lacks a class.
    """
    train = np.setdiff1d(np.arange(len(labels)), validation)
    for rows, part in ((train, "training"), (validation, "validation")):
        counts = np.bincount(labels[rows], minlength=len(classes)) if classes else [len(rows)]
        if not np.all(counts):
            what = (
                f"no example of class '{classes[int(np.argmin(counts))]}'" if classes else "no row"
            )
            raise DataError(
                f"[data] own_validation: the {part} set of {name} has {what}; add one, or leave "
                "out the key to split anew"
            )
    return train, validation


def hold_out_test(
    arrays: DatasetArrays, fraction: float, seed: int, key: str, stratify: bool = False
) -> DatasetArrays:
    """Return the dataset with a test set that is held out of its training set by `split_rows`.

    It is empty if `fraction` is 0. A test set that the dataset came with is dropped; its validation
    set stays whole. Raises DataError.
    """
    inputs, labels, is_validation = arrays.inputs, arrays.labels, arrays.is_validation
    if not fraction:
        return replace(arrays, test=(inputs[:0], labels[:0]), test_rows=hash_rows(np.arange(0)))
    rows = np.arange(len(labels)) if is_validation is None else np.flatnonzero(~is_validation)
    rule = SplitRule(arrays.groups, arrays.times, stratify)
    held_out = rows[split_rows(labels[rows], fraction, seed, key, rule[rows])[1]]
    rest = np.setdiff1d(np.arange(len(labels)), held_out)
    return replace(
        arrays,
        inputs=inputs[rest],
        labels=labels[rest],
        is_validation=is_validation[rest] if is_validation is not None else None,
        groups=None if rule.groups is None else rule.groups[rest],
        times=None if rule.times is None else rule.times[rest],
        test=(inputs[held_out], labels[held_out]),
        test_rows=hash_rows(held_out),
    )


def drop_copies(
    rows: Array,
    examples: GroupedExamples,
    validation: GroupedExamples,
    in_test: Array,
    classes: Sequence[str],
) -> Array:
    """Return those of the training `rows` whose examples occur in none of the other splits.

    `in_test` says which of the examples also occur in the test set, bool [N].

    Raises DataError if no example of a class remains.
    """
    remaining = rows[~(find_copies(examples[rows], validation) | in_test[rows])]
    if not len(remaining):
        raise DataError(
            "[data] drop_duplicates: every training example also occurs in the validation or test "
            "set; leave it out"
        )
    for number, name in enumerate(classes):
        if number not in examples.labels[remaining]:
            raise DataError(
                f"[data] drop_duplicates: every training example of class '{name}' also occurs in "
                "the validation or test set; leave it out, or choose other [data] classes"
            )
    return remaining


def select_classes(arrays: DatasetArrays, classes: Sequence[str], name: str) -> DatasetArrays:
    """Return only the examples of `classes`, numbered in that order. Raises DataError."""
    if not arrays.classes:
        raise DataError(f"[data] classes: {name} is a regression's, which has none; leave it out")
    for class_name in classes:
        if class_name not in arrays.classes:
            raise DataError(
                f"[data] classes: {name} has no class '{class_name}'"
                f"{did_you_mean(class_name, arrays.classes)}"
            )
    numbers = np.full(len(arrays.classes), -1, np.int64)
    numbers[[arrays.classes.index(class_name) for class_name in classes]] = np.arange(len(classes))

    def select(inputs: Array, labels: Array) -> tuple[Array, Array]:
        rows = numbers[labels] >= 0
        return inputs[rows], numbers[labels[rows]]

    part, rows = arrays.is_validation, numbers[arrays.labels] >= 0
    inputs, labels = select(arrays.inputs, arrays.labels)
    return replace(
        arrays,
        inputs=inputs,
        labels=labels,
        is_validation=part[rows] if part is not None else None,
        groups=arrays.groups[rows] if arrays.groups is not None else None,
        times=arrays.times[rows] if arrays.times is not None else None,
        test=select(*arrays.test) if arrays.test else None,
        classes=tuple(classes),
    )


def compute_statistics(inputs: Array, indicators: Sequence[int] | None) -> tuple[Array, Array]:
    """Return mean and standard deviation of each feature [D] of the training set, or of all values
    if `indicators` is None.

    The features in `indicators` get 0 and 1, so that they are not standardized. A feature with one
    value alone gets the standard deviation 0, which means that it has no effect: no weight is
    trained for it, and a validation or test example may have any other value.
    """
    if indicators is None:
        return np.array(inputs.mean(dtype=np.float64)), np.array(inputs.std(dtype=np.float64))
    mean, std = inputs.mean(0, dtype=np.float64), inputs.std(0, dtype=np.float64)
    mean[list(indicators)], std[list(indicators)] = 0, 1
    std[inputs.min(0) == inputs.max(0)] = 0  # rounding may have left a tiny deviation
    return mean, std


def hash_rows(*rows: Array) -> str:
    """Return the SHA-256 of lists of row numbers, with a mark at the end of each list."""
    digest = hashlib.sha256()
    for numbers in rows:
        digest.update(numbers.astype("<i8").tobytes() + b"|")
    return digest.hexdigest()
