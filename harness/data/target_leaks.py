"""Columns of a table that predict the target nearly perfectly by themselves, which is suspicious.

Such a column is often computed from the target, or filled in after it was known: data leakage. A
decision tree is fitted to half of the training rows and each column alone, and measured on the
other half.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.data.table import format_toml_list
from harness.data.types import Array
from harness.scoring.table_transform import TableTransform

MAX_ROWS = 4000
"""Training rows that are used; more are sampled."""
MIN_ROWS = 60
MIN_ACCURACY, MAX_ERROR_SHARE = 0.98, 0.1
"""A column is suspicious from this accuracy on, if it makes at most this share of the errors of the
most frequent class."""
MIN_R2 = 0.99
LEAVES, ROWS_PER_LEAF = 200, 3


def find_target_leaks(
    features: Array, labels: Array, transform: TableTransform
) -> list[tuple[str, float]]:
    """Return the suspicious columns with their accuracy, or R2 of a regression, the best first.

    Args:
        features: float32 [N, D] of the training rows.
        labels: [N] int64 classes or float32 targets.
    """
    if len(labels) < MIN_ROWS:
        return []
    rows = np.random.default_rng(0).permutation(len(labels))[:MAX_ROWS]
    half = len(rows) // 2
    first, second = rows[:half], rows[half:]
    leaks, start = [], 0
    for each in transform.columns:
        columns = slice(start, start + len(each.names))
        start = columns.stop
        if not each.names:
            continue
        tree = _create_tree(labels).fit(features[first, columns], labels[first])
        score = float(tree.score(features[second, columns], labels[second]))
        if labels.dtype.kind == "f" and np.ptp(features[second, columns.start]):
            line = np.corrcoef(features[second, columns.start], labels[second])[0, 1]
            score = max(score, float(line**2))  # few rows make a rough tree
        if _is_suspicious(score, labels[second]):
            leaks.append((each.column.name, score))
    return sorted(leaks, key=lambda leak: -leak[1])


def describe_target_leaks(
    name: str, leaks: Sequence[tuple[str, float]], is_regression: bool
) -> list[str]:
    """Describe the suspicious columns, for people; an empty list for none."""
    metric = "R2" if is_regression else "accuracy"
    return [
        f"{name}: column '{column}' alone predicts the target nearly perfectly ({metric} "
        f"{score:.3f} on training rows held out); if it is not known when predicting, it leaks "
        f"the target: leave it out by [data] ignore = {format_toml_list(column)}"
        for column, score in leaks
    ]


def _create_tree(labels: Array) -> Any:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeRegressor if labels.dtype.kind == "f" else DecisionTreeClassifier
    return kind(max_leaf_nodes=LEAVES, min_samples_leaf=ROWS_PER_LEAF, random_state=0)


def _is_suspicious(score: float, labels: Array) -> bool:
    if labels.dtype.kind == "f":
        return score >= MIN_R2
    most = np.unique(labels, return_counts=True)[1].max() / len(labels)
    return bool(score >= MIN_ACCURACY and 1 - score <= MAX_ERROR_SHARE * (1 - most))
