"""Split-conformal intervals and sets (V. Vovk et al. 2005; J. Lei et al., JASA 113, 2018).

An interval or a set of a new example covers its true value or class with the stated probability, on
average over examples that are drawn as those which it was measured on. Here these are validation
examples, on which the model was also chosen: the real coverage is a little lower.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

COVERAGE = 0.9


def compute_half_width(
    true: npt.ArrayLike, predicted: npt.ArrayLike, coverage: float = COVERAGE
) -> float | None:
    """Return half the width of the interval around each prediction.

    It is the ceil((n + 1) coverage)-th smallest absolute error of n examples. None if n is too
    small for the coverage: below 9 for 90 %.
    """
    errors = np.abs(np.asarray(true, np.float64) - np.asarray(predicted, np.float64))
    rank = math.ceil((len(errors) + 1) * coverage)
    return float(np.sort(errors)[rank - 1]) if rank <= len(errors) else None


def compute_set_threshold(probabilities: npt.ArrayLike, coverage: float = COVERAGE) -> float | None:
    """Return the least probability with which a class belongs to an example's set.

    `probabilities` are those of the true classes of n examples. The set is that of the least
    ambiguous set-valued classifier (M. Sadinle et al., JASA 114, 2019): it has the true class of a
    new example with the stated probability. None if n is too small for the coverage: below 9 for
    90 %.
    """
    values = np.sort(np.asarray(probabilities, np.float64))[::-1]
    rank = math.ceil((len(values) + 1) * coverage)
    return float(values[rank - 1]) if rank <= len(values) else None


def build_sets(probabilities: npt.NDArray[Any], threshold: float) -> npt.NDArray[np.bool_]:
    """Return which classes [n, C] are in the set of each example, from probabilities [n, C].

    The most probable class always is, so no set is empty; that only adds coverage.
    """
    sets: npt.NDArray[np.bool_] = probabilities >= threshold
    sets[np.arange(len(sets)), probabilities.argmax(1)] = True
    return sets
