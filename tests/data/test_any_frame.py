"""Whatever frame: preparing it gives finite numbers or one clear line."""

from __future__ import annotations

import datetime
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.column_kinds import KINDS
from harness.data.prepare import prepare
from harness.data.table_features import read_transform
from harness.errors import UserError

ROWS = 40
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", " ", "NA", "1,5", "1.234,5", "$3", "50 %", "31.12.2024", "10:30", "a b"]),
    st.datetimes(datetime.datetime(1600, 1, 1), datetime.datetime(2200, 1, 1)),
    st.dates(datetime.date(1700, 1, 1), datetime.date(2200, 1, 1)),
    st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=9)),
)
KIND_OF_COLUMN = st.sampled_from(
    [
        st.integers(-9, 9),
        st.floats(),
        st.floats(allow_nan=False, width=32),
        st.booleans(),
        st.text(max_size=4),
        st.sampled_from(["a", "b", None]),
        st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2200, 1, 1)),
        VALUES,
    ]
)
COLUMNS = st.lists(
    KIND_OF_COLUMN.flatmap(lambda kind: st.lists(kind, min_size=ROWS, max_size=ROWS)),
    min_size=1,
    max_size=4,
)
OVERRIDES = st.dictionaries(st.sampled_from(["c0", "c1"]), st.sampled_from(KINDS), max_size=1)
QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
COUNTER = itertools.count()


def check(path: Path, raw: pd.DataFrame, options: dict[str, Any]) -> None:
    """Prepare the file; the features are finite, and so are those of raw rows."""
    message, prepared = "", None
    try:
        prepared = prepare(
            str(path), validation=0.2, test=0.2, split_seed=0, normalize=True,
            cache=path.parent / "cache", **options,
        )  # fmt: skip
    except UserError as error:
        message = str(error)
    if prepared is None:
        assert len(message) > 20
        assert "\n" not in message
        return
    files = prepared.training
    inputs = np.load(files.inputs)
    assert inputs.dtype == np.float32
    assert np.isfinite(inputs).all()
    assert np.isfinite([files.mean, files.std]).all()
    assert files.transform is not None
    transform = read_transform(files.transform)
    assert transform.read_features(raw).shape == (len(raw), len(files.columns))
    odd = pd.DataFrame({name: [None, "odd", 1e300, np.inf, True] for name in transform.inputs})
    assert np.isfinite(transform.read_features(odd)).all()


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(columns=COLUMNS, overrides=OVERRIDES, suffix=st.sampled_from([".csv", ".parquet"]))
def test_any_frame_becomes_finite_numbers_or_one_line(
    tmp_path: Path, columns: list[list[Any]], overrides: dict[str, str], suffix: str
) -> None:
    frame = pd.DataFrame({f"c{number}": values for number, values in enumerate(columns)})
    frame["y"] = ["yes" if number % 2 else "no" for number in range(ROWS)]
    path = tmp_path / f"{next(COUNTER)}{suffix}"
    try:
        frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    except Exception:  # mixed types are no column of Parquet, lone surrogates no UTF-8
        return
    kinds = {name: kind for name, kind in overrides.items() if name in frame}
    check(path, frame, {"target": "y", "columns": kinds})


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(target=KIND_OF_COLUMN.flatmap(lambda kind: st.lists(kind, min_size=ROWS, max_size=ROWS)),
       task=st.sampled_from(["classes", "regression"]))  # fmt: skip
def test_any_target_is_read_or_one_line(tmp_path: Path, target: list[Any], task: str) -> None:
    frame = pd.DataFrame({"a": np.arange(ROWS) % 7, "y": target})
    path = tmp_path / f"{next(COUNTER)}.csv"
    try:
        frame.to_csv(path, index=False)
    except UnicodeEncodeError:
        return
    check(path, frame, {"target": "y", "task": task})


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, 1 + 2j, b"bytes"])
def test_values_that_are_none_of_a_table_are_one_line(tmp_path: Path, value: Any) -> None:
    from harness.data.column_kinds import plan_column
    from harness.data.types import DataOptions

    values = pd.Series([value] * ROWS, name="odd")
    with pytest.raises(UserError, match=r"column 'odd' holds .*not supported; leave it out by"):
        plan_column(values, None, "frame", DataOptions(), 1)
