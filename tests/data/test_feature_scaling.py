"""[data] normalize = "robust" and "quantile": the formulas and the parameters as JSON.

test_table_features.py has the test that training rows alone determine them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from scipy.stats import norm

from harness.data.prepare import prepare
from harness.errors import DataError
from harness.scoring.column import Column
from harness.scoring.feature_scaling import fit_scaling
from harness.scoring.table_transform import TableTransform, fit_transform

Kind = Literal["robust", "quantile"]
KINDS: tuple[Kind, ...] = ("robust", "quantile")


def column_of(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, np.float32)[:, None]


def test_robust_is_the_formula_of_realmlp() -> None:
    # quartiles 2 and 4, median 3: z = (x - 3) / 2, then z / sqrt(1 + (z / 3)^2)
    scaling = fit_scaling("robust", column_of(1, 2, 3, 4, 100), [0])
    z = np.array([-1, 0, 48.5, -1e6])
    expected = z / np.sqrt(1 + z**2 / 9)
    np.testing.assert_allclose(scaling.apply(column_of(1, 3, 100, -2e6 + 3))[:, 0], expected)
    # equal quartiles: half of the range; a constant: 0
    few = fit_scaling("robust", column_of(0, 0, 0, 0, 0, 8), [0])
    np.testing.assert_allclose(few.apply(column_of(4))[0, 0], 1 / np.sqrt(1 + 1 / 9))
    assert fit_scaling("robust", column_of(5, 5), [0]).apply(column_of(7)) == 0


def test_quantile_gives_normal_quantiles_of_mid_ranks() -> None:
    scaling = fit_scaling("quantile", column_of(10, 20, 20, 40), [0])
    expected = norm.ppf([1 / 8, 4 / 8, 7 / 8])
    np.testing.assert_allclose(scaling.apply(column_of(10, 20, 40))[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(
        scaling.apply(column_of(-1e9, 30, 1e9))[:, 0],
        [expected[0], expected[1:].mean(), expected[2]],
        rtol=1e-6,
    )
    assert fit_scaling("quantile", column_of(5, 5), [0]).apply(column_of(7)) == 0


def test_many_values_become_a_normal_distribution() -> None:
    values = np.random.default_rng(0).lognormal(size=(5000, 1)).astype(np.float32)
    scaled = fit_scaling("quantile", values, [0]).apply(values)[:, 0]
    np.testing.assert_allclose(
        np.quantile(scaled, [0.05, 0.5, 0.95]), norm.ppf([0.05, 0.5, 0.95]), atol=0.02
    )


@pytest.mark.parametrize("kind", KINDS)
def test_indicators_stay_and_json_keeps_every_bit(kind: Kind) -> None:
    columns = [Column("n", "number"), Column("c", "category", ("a", "b")), Column("d", "date")]
    rng = np.random.default_rng(1)
    cells = np.stack([rng.lognormal(size=50), rng.integers(0, 2, 50), rng.normal(1e9, 1e7, 50)], 1)
    cells[::7, 0] = np.nan
    plain, scaled = fit_transform(columns, cells), fit_transform(columns, cells, (), kind)
    before, after = plain.apply(cells), scaled.apply(cells)
    assert scaled.names == plain.names
    numbers = [place for place in range(before.shape[1]) if place not in plain.indicators]
    assert not np.array_equal(before[:, numbers[0]], after[:, numbers[0]])
    indicators = list(plain.indicators)
    assert len(indicators) == 3  # `n missing`, `c=a` and `c=b`
    np.testing.assert_array_equal(before[:, indicators], after[:, indicators])
    read = TableTransform.from_json(scaled.to_json())
    np.testing.assert_array_equal(read.apply(cells, scaled), after)
    assert '"format": 1,' in plain.to_json()  # as earlier versions wrote it
    with pytest.raises(ValueError, match="no transform"):
        TableTransform.from_json(scaled.to_json().replace(kind, "cubic"))


def test_data_without_columns_is_refused() -> None:
    message = r'^\[data\] normalize = "robust": scales the columns of a table, and digits is none'
    with pytest.raises(DataError, match=message):
        prepare("digits", validation=0.2, test=0.2, split_seed=0, normalize="robust")
