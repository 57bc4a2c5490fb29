"""The outer splits: 80 % of the rows train, 20 % test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from tests.benchmarks.tables.sources import Table

SPLITS = 5
TEST_SHARE = 0.2
INNER_SHARE = 0.2
"""The share of the outer training part that validates, where a method chooses."""


@dataclass(frozen=True)
class Task:
    """One outer split of a table: all that a method may see is `train`."""

    table: Table
    split: int
    train: pd.DataFrame
    test: pd.DataFrame
    classes: tuple[str, ...]
    """Sorted names; empty for a regression."""
    digest: str
    """Of the rows that test: equal where two runs had the same split."""

    @property
    def y_train(self) -> np.ndarray:
        """Targets [n]: class numbers, or float64."""
        return self._encode(self.train)

    @property
    def y_test(self) -> np.ndarray:
        """The same of the outer test part."""
        return self._encode(self.test)

    @property
    def features(self) -> list[str]:
        """The names of the columns that predict."""
        return [column for column in self.train.columns if column != self.table.target]

    def _encode(self, frame: pd.DataFrame) -> np.ndarray:
        values = frame[self.table.target]
        if self.table.is_regression:
            return values.to_numpy(np.float64)
        return np.searchsorted(self.classes, values.to_numpy(str))


def make_task(table: Table, split: int) -> Task:
    """Draw a split by its number, which is its seed; stratified by class."""
    frame = table.load()
    classes: tuple[str, ...] = ()
    if not table.is_regression:
        classes = tuple(sorted(frame[table.target].astype(str).unique()))
    train, test = train_test_split(
        np.arange(len(frame)),
        test_size=TEST_SHARE,
        random_state=split,
        stratify=frame[table.target].astype(str) if classes else None,
    )
    digest = hashlib.sha256()
    digest.update(np.sort(test).astype("<i8").tobytes())
    digest.update(frame.to_csv(index=False).encode())
    return Task(
        table=table,
        split=split,
        train=frame.iloc[np.sort(train)].reset_index(drop=True),
        test=frame.iloc[np.sort(test)].reset_index(drop=True),
        classes=classes,
        digest=digest.hexdigest()[:12],
    )


def split_inner(y: np.ndarray, is_regression: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that train and those that validate, inside the outer training part."""
    inner = train_test_split(
        np.arange(len(y)),
        test_size=INNER_SHARE,
        random_state=1000 + seed,
        stratify=None if is_regression else y,
    )
    return inner[0], inner[1]
