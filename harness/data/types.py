"""A dataset that was found, and what it is once it is decoded into arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.results import Task

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DataOptions:
    """What [data] says of how a dataset of one's own is read."""

    task: Task = "classes"
    target: str = ""
    """The column of a table that is predicted."""
    ignore: tuple[str, ...] = ()
    """Columns of a table that are left out."""
    size: tuple[int, ...] = ()
    """Height and width that pictures are brought to; as they are where it is empty."""


@dataclass(frozen=True)
class Decoded:
    """A dataset in memory.

    Inputs [N, *shape]: uint8 for pictures, float32 [N, D] for features. Labels [N]: int64 in
    0..C-1, or float32 in the target's own units where numbers are predicted; then there are no
    classes.
    """

    inputs: Array
    labels: Array
    test: tuple[Array, Array] | None
    """The set's own test part; None where one must be held out."""
    classes: tuple[str, ...]
    scale: float
    """The largest value an input can take; 1 for features."""
    test_rows: str = ""
    """Digest of the rows that were held out as the test part, where they were."""
    columns: tuple[str, ...] = ()
    """What the features of a table are called."""
    indicators: tuple[int, ...] = ()
    """Those of them that are 0 or 1, a category's: they are not standardised."""
    target: str = ""
    """What the labels are called, where the data says it."""

    @property
    def by_feature(self) -> bool:
        """Whether each feature has statistics of its own; pictures have one mean for all."""
        return self.inputs.ndim == 2 and self.inputs.dtype == np.float32


@dataclass(frozen=True)
class Source:
    """A dataset that was found and checked, not yet decoded."""

    name: str
    where: str
    """For people: a folder, or the library that brings it."""
    digest: str
    """Changes whenever the decoded content does."""
    has_test: bool
    """Whether it brings a test part of its own."""
    decode: Callable[[], Decoded]
