"""Data leakage between training, validation and test set: duplicates, class counts, digests.

Two examples are duplicates if their inputs are equal byte for byte. Of the test set, only counts
and hashes leave this module: no input, no label, and not which example has a duplicate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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
    """Number of examples of each class; empty for a regression."""
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
        rows = np.ascontiguousarray(inputs).reshape(len(inputs), -1).view(np.uint8)
        for row in rows:
            digests += hashlib.blake2b(row.data, digest_size=16).digest()
    numbers = np.unique(np.frombuffer(digests, "S16"), return_inverse=True)[1].astype(np.int64)
    return np.split(numbers, np.cumsum([len(inputs) for inputs in arrays])[:-1])


def find_copies(split: GroupedExamples, *others: GroupedExamples) -> Array:
    """Return which examples of a split also occur in any of the others, bool [N]."""
    return np.isin(split.groups, np.concatenate([other.groups for other in others]))


def measure_data_quality(
    splits: Mapping[str, GroupedExamples], digests: Mapping[str, str], classes: int, dropped: int
) -> DataQuality:
    """Count the duplicates and the classes of `splits`, by SPLITS.

    `classes` is the number of classes, 0 for a regression; `digests` are those of `hash_examples`.
    """
    duplicates = {
        pair: _count_shared(splits[first], splits[second])
        for pair in PAIRS
        for first, second in [pair.split("_")]
    }
    contents = {
        name: SplitContents(
            len(split.labels),
            tuple(np.bincount(split.labels, minlength=classes).tolist()) if classes else (),
            digests[name],
        )
        for name, split in splits.items()
    }
    return DataQuality(contents, duplicates | {"train": _count_repeated(splits["train"])}, dropped)


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
