"""The column of a table to predict: classes or numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.data.column_kinds import MAX_FEW
from harness.data.column_types import Numbers
from harness.data.float32 import check_targets, to_finite_float32
from harness.data.types import Array, DataOptions, LabelType
from harness.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def encode_labels(
    values: pd.Series, texts: Numbers | None, name: str, options: DataOptions, first_row: int
) -> tuple[Array, tuple[str, ...]]:
    """Return targets float32 and no classes, or labels int64 and the sorted classes' names.

    Args:
        values: The column, without missing values.
        texts: The numbers that its texts are, of a classification.

    Raises DataError.
    """
    from pandas.api import types

    target = options.target
    numeric = types.is_numeric_dtype(values) and not types.is_bool_dtype(values)
    if options.task == "regression":
        if not numeric:
            raise DataError(
                f"[data] target: column '{target}' of {name} holds texts, such as "
                f"'{str(values.iloc[0])[:40]}'; a regression needs numbers; leave out [data] task "
                "for classification"
            )
        check_targets(values.to_numpy(), name)
        return to_finite_float32(
            values.to_numpy(np.float64), name, f"the target '{target}'", first_row
        ), ()
    if numeric:
        numbers = to_finite_float32(
            values.to_numpy(np.float64), name, f"the target '{target}'", first_row
        )
        is_whole = numbers == np.floor(numbers)
        if not is_whole.all():
            raise DataError(
                f"[data] target: column '{target}' of {name} holds numbers such as "
                f'{numbers[~is_whole][0]:g}; predict them by task = "regression"'
            )
        values = values.astype(np.int64)
    else:
        values = values.map(str)
        if values.nunique() > MAX_FEW:
            _refuse_fractions(target, texts, name)
    classes, labels = np.unique(values.to_numpy(), return_inverse=True)
    return labels.astype(np.int64), tuple(map(str, classes))


def find_label_type(values: pd.Series) -> LabelType:
    """Return what the values of the target are."""
    from pandas.api import types

    if types.is_bool_dtype(values.dropna()) or types.is_bool_dtype(values.dropna().infer_objects()):
        return "boolean"
    return "integer" if types.is_numeric_dtype(values) else "text"


def _refuse_fractions(target: str, numbers: Numbers | None, name: str) -> None:
    """Raise DataError if the many texts to predict are numbers that are not whole."""
    if numbers is not None and (numbers.values != np.floor(numbers.values)).any():
        raise DataError(
            f"[data] target: column '{target}' of {name} holds numbers such as "
            f"'{numbers.example}'; predict them by task = \"regression\""
        )
