"""Data leakage between training, validation and test set: duplicates, class counts, digests.

Two examples are duplicates if their inputs are equal byte for byte. Of the test set, only counts
and hashes leave this module: no input and no label. Its classes are counted after the opening.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.data.types import Array

SPLITS = ("train", "validation", "test")
PAIRS = ("train_test", "validation_test", "train_validation")
"""The pairs of splits whose duplicates are counted, the most harmful first."""


@dataclass(frozen=True)
class Duplicates:
    """The number of duplicates between two splits, or within one."""

    examples: int
    """Between two splits: examples of the second that also occur in the first; for train and test,
    the test examples that are trained on. Within one split: all copies of an input but one."""
    conflicting: int
    """Those of them that have another label in the first split; within one split, those whose
    copies do not all have the same label."""


@dataclass(frozen=True)
class SplitContents:
    """The size, class counts and digest of one split."""

    examples: int
    by_class: tuple[int, ...]
    """Number of examples of each class; empty for a regression and a sealed test set."""
    digest: str
    """SHA-256 of the inputs and labels, in order."""


@dataclass(frozen=True)
class DataQuality:
    """What was counted in the three splits. Field names are keys in the cache and in MLflow."""

    parts: Mapping[str, SplitContents]
    """One entry for each of SPLITS."""
    duplicates: Mapping[str, Duplicates]
    """One entry for each of PAIRS, and `train` for those within the training set."""
    dropped: int = 0
    """Training examples that `[data] drop_duplicates` removed."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataQuality:
        """Read what `to_dict` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            {
                name: SplitContents(
                    int(part["examples"]), tuple(map(int, part["by_class"])), part["digest"]
                )
                for name in SPLITS
                for part in [values["parts"][name]]
            },
            {
                name: Duplicates(int(counts["examples"]), int(counts["conflicting"]))
                for name in (*PAIRS, "train")
                for counts in [values["duplicates"][name]]
            },
            int(values["dropped"]),
        )


@dataclass(frozen=True)
class GroupedExamples:
    """The examples of one split, with numbers that are equal where the inputs are."""

    groups: Array
    """int64 [N]."""
    labels: Array
    """[N]: int64 classes or float32 targets."""

    def __getitem__(self, rows: Array) -> GroupedExamples:
        return GroupedExamples(self.groups[rows], self.labels[rows])


@dataclass(frozen=True)
class TestCopies:
    """How often each training example occurs in the test set, counted when that was sealed."""

    __test__ = False  # pytest would collect it as a test class

    copies: Array
    """int64 [N]: the test examples whose inputs equal those of this training example."""
    agreeing: Array
    """int64 [N]: those of them that have its label."""
    examples: int
    """The size of the test set."""


def hash_examples(inputs: Array, labels: Array) -> str:
    """Return the SHA-256 of examples, in order: the bytes of their inputs, then of their labels.

    Names, folders and shapes do not count: the same test images always have the same digest.
    """
    digest = hashlib.sha256(f"{len(labels)}|".encode())
    digest.update(np.ascontiguousarray(inputs).data)
    digest.update(np.ascontiguousarray(labels, "<f4" if labels.dtype.kind == "f" else "<i8").data)
    return digest.hexdigest()


def group_examples(*arrays: Array) -> list[Array]:
    """Number the examples [N, ...] of each array, int64 [N]: equal inputs get the same number.

    Inputs are compared by 16 bytes of BLAKE2b: the probability that two of a million different
    inputs collide is 1e-27.
    """
    digests = bytearray()
    for inputs in arrays:
        rows = np.ascontiguousarray(inputs).reshape(len(inputs), math.prod(inputs.shape[1:]))
        for row in rows.view(np.uint8):
            digests += hashlib.blake2b(row.data, digest_size=16).digest()
    numbers = np.unique(np.frombuffer(digests, "S16"), return_inverse=True)[1].astype(np.int64)
    return np.split(numbers, np.cumsum([len(inputs) for inputs in arrays])[:-1])


def find_copies(split: GroupedExamples, *others: GroupedExamples) -> Array:
    """Return which examples of a split also occur in any of the others, bool [N]."""
    return np.isin(split.groups, np.concatenate([other.groups for other in others]))


def count_test_copies(training: GroupedExamples, test: GroupedExamples) -> TestCopies:
    """Count how often each training example occurs in the test set."""
    order = np.lexsort((test.labels, test.groups))
    groups, labels = test.groups[order], test.labels[order]
    copies = np.searchsorted(groups, training.groups, "right")
    copies -= np.searchsorted(groups, training.groups, "left")
    numbers = np.unique(np.concatenate([labels, training.labels]), return_inverse=True)[1]
    pairs = groups * (len(numbers) + 1) + numbers[: len(labels)]
    wanted = training.groups * (len(numbers) + 1) + numbers[len(labels) :]
    agreeing = np.searchsorted(pairs, wanted, "right") - np.searchsorted(pairs, wanted, "left")
    return TestCopies(copies.astype(np.int64), agreeing.astype(np.int64), len(test.labels))


def measure_data_quality(
    examples: GroupedExamples,
    rows: Mapping[str, Array],
    folds: Sequence[tuple[Array, Array]],
    test: TestCopies,
    digests: Mapping[str, str],
    classes: int,
    dropped: int,
) -> DataQuality:
    """Count the duplicates and the classes of the splits.

    Args:
        examples: Those of the training and the validation set.
        rows: The row numbers of `train` and `validation`.
        folds: The row numbers of the training and the validation set, one pair for each fold.
        test: What was counted of the test set, for each of `examples`.
        digests: By SPLITS, those of `hash_examples`.
        classes: The number of classes, 0 for a regression.
        dropped: The number of training examples that were dropped.
    """
    splits = {name: examples[which] for name, which in rows.items()}
    shared = [_count_shared(examples[train], examples[held_out]) for train, held_out in folds]
    trained = functools.reduce(np.union1d, [train for train, _ in folds])
    duplicates = {
        "train_test": _count_in_test(examples, trained, test),
        "validation_test": _count_in_test(examples, rows["validation"], test),
        "train_validation": Duplicates(
            sum(each.examples for each in shared), sum(each.conflicting for each in shared)
        ),
    }
    contents = {
        name: SplitContents(
            len(split.labels),
            tuple(np.bincount(split.labels, minlength=classes).tolist()) if classes else (),
            digests[name],
        )
        for name, split in splits.items()
    }
    contents["test"] = SplitContents(test.examples, (), digests["test"])
    return DataQuality(contents, duplicates | {"train": _count_repeated(splits["train"])}, dropped)


def _count_in_test(examples: GroupedExamples, rows: Array, test: TestCopies) -> Duplicates:
    """Count the test examples that also occur in those rows."""
    split = examples[rows]
    first = np.unique(split.groups, return_index=True)[1]
    low, high = _label_ranges(split, 1 + int(split.groups.max(initial=0)))
    groups, chosen = split.groups[first], rows[first]
    agreeing = np.where(low[groups] == high[groups], test.agreeing[chosen], 0)
    copies = int(test.copies[chosen].sum())
    return Duplicates(copies, copies - int(agreeing.sum()))


def _count_shared(first: GroupedExamples, second: GroupedExamples) -> Duplicates:
    """Count the second split's examples that also occur in the first."""
    low, high = _label_ranges(first, 1 + max(first.groups.max(), second.groups.max()))
    low, high = low[second.groups], high[second.groups]
    occurs = np.isfinite(high)
    conflicts = occurs & ((low != second.labels) | (high != second.labels))
    return Duplicates(int(occurs.sum()), int(conflicts.sum()))


def _count_repeated(split: GroupedExamples) -> Duplicates:
    """Count the copies within one split."""
    counts = np.bincount(split.groups)
    low, high = _label_ranges(split, len(counts))
    copies = np.maximum(counts - 1, 0)
    return Duplicates(int(copies.sum()), int(copies[low < high].sum()))


def _label_ranges(split: GroupedExamples, groups: int) -> tuple[Array, Array]:
    """Return the smallest and largest label of each group in a split; ±inf for a group without."""
    high, low = np.full(groups, -np.inf), np.full(groups, np.inf)
    np.maximum.at(high, split.groups, split.labels)
    np.minimum.at(low, split.groups, split.labels)
    return low, high
