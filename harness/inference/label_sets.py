"""Sets of labels that hold the true class of a row with a probability of 90 %."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.stats.conformal import COVERAGE, build_sets

SEPARATOR = "|"
DESCRIPTION = (
    f"holds the true class of {COVERAGE:.0%} of new rows (split-conformal, from the validation "
    "set, on which the model was chosen too)"
)
FOLDS_DESCRIPTION = (
    f"holds the true class of about {COVERAGE:.0%} of new rows (from the outputs of the folds' "
    "networks, each on the rows that it was not trained on)"
)
"""With `[data] folds`. No guarantee holds for a final model that is trained on all rows."""


def join_sets(
    labels: Sequence[Any], probabilities: npt.NDArray[np.floating[Any]], threshold: float
) -> list[str]:
    """Return the labels of each row's set, the most probable first: `cat|dog`.

    Args:
        labels: [C]
        probabilities: [n, C]; scaled to a sum of 1 here.
        threshold: the least probability of a class in a set.
    """
    exact = probabilities.astype(np.float64)
    total = exact.sum(1, keepdims=True)
    shares = np.divide(exact, total, out=np.full_like(exact, 1 / len(labels)), where=total > 0)
    orders = np.argsort(-shares, axis=1, kind="stable")
    sets = build_sets(shares, threshold)
    return [
        SEPARATOR.join(str(labels[place]) for place in order if row[place])
        for order, row in zip(orders, sets, strict=True)
    ]
