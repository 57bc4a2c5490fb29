"""Split-conformal intervals of predictions (V. Vovk et al. 2005; J. Lei et al., JASA 113, 2018).

An interval of a new example's prediction covers its true value with the stated probability, on
average over examples that are drawn as those which it was measured on. Here these are validation
examples, on which the model was also chosen: the real coverage is a little lower.
"""

from __future__ import annotations

import math

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
