"""TPE's fast logarithm of the normal distribution has the bits of Optuna's."""

from __future__ import annotations

import numpy as np
from optuna.samplers._tpe import _truncnorm

from harness.search.normal_tail import install_log_ndtr, log_ndtr

EDGES = [0.0, -0.0, 1.0, -1.0, 6.0, -20.0, -38.0, 40.0, -1e3, 1e9, np.inf, np.nan, 5e-324]


def test_every_bit_is_that_of_optuna() -> None:
    rng = np.random.default_rng(0)
    near = [np.nextafter(edge, side) for edge in EDGES for side in (-np.inf, np.inf)]
    values = np.concatenate([rng.normal(0, scale, 4000) for scale in (0.5, 3, 15, 60)])
    numbers = np.concatenate([values, EDGES, near, [0.0]]).reshape(2, -1)
    one_by_one = [[_truncnorm._log_ndtr_single(value) for value in row] for row in numbers.tolist()]
    np.testing.assert_array_equal(
        log_ndtr(numbers).view(np.int64), np.array(one_by_one).view(np.int64)
    )


def test_optuna_uses_it() -> None:
    """If this fails, Optuna has changed: see whether its own function is fast now."""
    install_log_ndtr()
    assert _truncnorm._log_ndtr is log_ndtr
    assert _truncnorm.ppf(np.array([0.5]), -1.0, 1.0)[0] == 0.0
