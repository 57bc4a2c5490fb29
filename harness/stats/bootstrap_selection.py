"""Correct the score of the best of many settings for selection, by the bootstrap.

All settings have predicted the same examples, each by models that were not trained on them. In each
bootstrap sample the best setting is chosen on the examples that are in it, and scored on those that
are not: BBC-CV of I. Tsamardinos, E. Greasidou and G. Borboudakis, Machine Learning 107, 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLES, CHUNK = 1000, 50
"""Bootstrap samples, and how many are drawn at once."""

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class CorrectedBest:
    """A score of the best setting, as a mean over examples, corrected for selection."""

    value: float
    interval: tuple[float, float]
    """95 %: the percentiles of the samples' scores."""


def correct_best(costs: Values, scores: Values, seed: int = 0) -> CorrectedBest:
    """Return the mean score of the best setting on examples that did not choose it.

    Args:
        costs: [T, n], the cost of each example by setting; the lowest mean is chosen.
        scores: [T, n], what is averaged for the chosen setting.
        seed: Determines the samples.
    """
    size = float(np.abs(costs).max()) or 1.0  # float32 holds no 1e-50, nor 1e50
    shares = np.divide(costs, size, dtype=np.float64).astype(np.float32)
    n, values = costs.shape[1], []
    rng = np.random.default_rng(seed)
    for _ in range(0, SAMPLES, CHUNK):
        drawn = rng.multinomial(n, np.full(n, 1 / n), CHUNK)  # [CHUNK, n]
        best = (shares @ drawn.T.astype(np.float32)).argmin(0)
        outside = drawn == 0
        sums = (scores[best].astype(np.float64) * outside).sum(1)
        values.append(sums / np.maximum(outside.sum(1), 1))
    samples = np.concatenate(values)
    low, high = np.percentile(samples, [2.5, 97.5])
    return CorrectedBest(float(samples.mean()), (float(low), float(high)))
