"""Columns as the rivals take them: categories for trees, filled numbers for networks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.benchmarks.tables.splits import Task

MISSING = "missing"


def find_categories(frame: pd.DataFrame) -> list[str]:
    """Return the names of the columns that have text."""
    return [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]


def prepare_for_trees(task: Task) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the features with pandas categories; a level that is new in the test part is missing.

    Numbers are float64, and missing values stay: all three libraries take them.
    """
    train, test = task.train[task.features].copy(), task.test[task.features].copy()
    texts = find_categories(train)
    for name in task.features:
        if name in texts:
            levels = sorted(train[name].dropna().astype(str).unique())
            for part in (train, test):
                known = part[name].astype(object).where(part[name].isin(levels))
                part[name] = pd.Categorical(known, categories=levels)
        else:
            train[name], test[name] = train[name].astype(float), test[name].astype(float)
    return train, test


def prepare_for_networks(task: Task) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return filled features and the names of the categories, for pytabkit.

    A missing number is the median of the outer training part, with a column that says so; a missing
    category is a level of its own, and so is a level that is new in the test part.
    """
    train, test = task.train[task.features].copy(), task.test[task.features].copy()
    texts = find_categories(train)
    for name in task.features:
        if name in texts:
            levels = set(train[name].dropna().astype(str))
            for part in (train, test):
                values = part[name].astype(object)
                part[name] = [str(v) if str(v) in levels else MISSING for v in values]
            continue
        median = float(train[name].median())
        gaps = bool(train[name].isna().any())
        for part in (train, test):
            if gaps:
                part[f"{name} is missing"] = part[name].isna().astype(np.float64)
            part[name] = part[name].astype(float).fillna(median)
    return train, test, texts
