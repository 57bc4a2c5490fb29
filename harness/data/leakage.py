"""How fair a split is: copies between its parts, its classes in balance, what each part holds.

Examples are copies of one another where their inputs are equal byte for byte. Of the test part
nothing but counts and hashes comes out of here: neither an input nor a label, nor which example
it is that has a copy. `SealedTest`, opened by harness.selection, stays the one way to those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.data.types import Array

PARTS = ("train", "validation", "test")
PAIRS = ("train_test", "validation_test", "train_validation")
"""The names of the duplicates between two parts, the gravest first."""


@dataclass(frozen=True)
class Duplicates:
    """Examples whose inputs stand elsewhere too, byte for byte."""

    examples: int
    """Of two parts, those of the second that stand in the first too: of train and test, the test
    examples that are trained on. Within one part, those that are left when each of its inputs is
    counted once."""
    conflicting: int
    """Of these, those with another label there; within one part, those whose copies do not all
    have one label."""


@dataclass(frozen=True)
class Contents:
    """What one part holds."""

    examples: int
    by_class: tuple[int, ...]
    """Examples of each class; empty for a regression."""
    digest: str
    """SHA-256 of its inputs and labels, in order."""


@dataclass(frozen=True)
class DataQuality:
    """Of a split's parts, as they are trained and judged on."""

    parts: Mapping[str, Contents]
    """By PARTS."""
    duplicates: Mapping[str, Duplicates]
    """By PAIRS, and by `train` within the training part."""
    dropped: int = 0
    """Training examples that `[data] drop_duplicates` left out."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataQuality:
        """Raises KeyError, TypeError or ValueError where `values` are none of ours."""
        return cls(
            {
                name: Contents(int(of["examples"]), tuple(map(int, of["by_class"])), of["digest"])
                for name in PARTS
                for of in [values["parts"][name]]
            },
            {
                name: Duplicates(int(of["examples"]), int(of["conflicting"]))
                for name in (*PAIRS, "train")
                for of in [values["duplicates"][name]]
            },
            int(values["dropped"]),
        )


@dataclass(frozen=True)
class Grouped:
    """The examples of one part: `groups` int64 [N], equal where the inputs are, `labels` [N],
    int64 classes or float32 targets."""

    groups: Array
    labels: Array

    def __getitem__(self, rows: Array) -> Grouped:
        return Grouped(self.groups[rows], self.labels[rows])


def digest_of_part(inputs: Array, labels: Array) -> str:
    """SHA-256 of some examples, in order: the bytes of their inputs, then of their labels.

    It says nothing of names, folders and shapes: the same test images give the same hash.
    """
    digest = hashlib.sha256(f"{len(labels)}|".encode())
    digest.update(np.ascontiguousarray(inputs).data)
    digest.update(np.ascontiguousarray(labels, "<f4" if labels.dtype.kind == "f" else "<i8").data)
    return digest.hexdigest()


def groups_of(*parts: Array) -> list[Array]:
    """Numbers for the examples [N, ...] of each part, equal where the inputs are, int64 [N].

    Inputs are told apart by 16 bytes of BLAKE2b: among a million that are unlike, two have the same
    with a chance of 1e-27.
    """
    digests = bytearray()
    for inputs in parts:
        rows = np.ascontiguousarray(inputs).reshape(len(inputs), -1).view(np.uint8)
        for row in rows:
            digests += hashlib.blake2b(row.data, digest_size=16).digest()
    found = np.unique(np.frombuffer(digests, "S16"), return_inverse=True)[1].astype(np.int64)
    return np.split(found, np.cumsum([len(inputs) for inputs in parts])[:-1])


def copied(part: Grouped, *others: Grouped) -> Array:
    """Which examples of a part stand in any of the others too, bool [N]."""
    return np.isin(part.groups, np.concatenate([other.groups for other in others]))


def measure(
    parts: Mapping[str, Grouped], digests: Mapping[str, str], classes: int, dropped: int
) -> DataQuality:
    """Count what stands in several parts, and the classes of each; a regression has 0."""
    duplicates = {
        pair: _between(parts[first], parts[second])
        for pair in PAIRS
        for first, second in [pair.split("_")]
    }
    contents = {
        name: Contents(
            len(part.labels),
            tuple(np.bincount(part.labels, minlength=classes).tolist()) if classes else (),
            digests[name],
        )
        for name, part in parts.items()
    }
    return DataQuality(contents, duplicates | {"train": _within(parts["train"])}, dropped)


def _between(first: Grouped, second: Grouped) -> Duplicates:
    """Of the second part's examples."""
    low, high = _labels(first, 1 + max(first.groups.max(), second.groups.max()))
    low, high = low[second.groups], high[second.groups]
    there = np.isfinite(high)
    other = there & ((low != second.labels) | (high != second.labels))
    return Duplicates(int(there.sum()), int(other.sum()))


def _within(part: Grouped) -> Duplicates:
    counts = np.bincount(part.groups)
    low, high = _labels(part, len(counts))
    copies = np.maximum(counts - 1, 0)
    return Duplicates(int(copies.sum()), int(copies[low < high].sum()))


def _labels(part: Grouped, groups: int) -> tuple[Array, Array]:
    """The least and the greatest label that each group has in a part; ±inf where it has none."""
    high, low = np.full(groups, -np.inf), np.full(groups, np.inf)
    np.maximum.at(high, part.groups, part.labels)
    np.minimum.at(low, part.groups, part.labels)
    return low, high
