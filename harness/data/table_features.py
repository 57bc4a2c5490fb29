"""The cells of a table as features, fitted on the training rows of one split.

The decoded data has cells. Each split has the features of all its rows, with the parameters of the
transform that made them. The sealed test set is kept as cells, and transformed when it is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.cache import unreadable_error
from harness.data.types import Array
from harness.scoring.column import Column
from harness.scoring.feature_scaling import ScalingKind
from harness.scoring.table_transform import TableTransform, fit_transform

TRANSFORM_FILE = "transform.json"
MISSING = -3e38
"""What stands for a missing value where examples are compared."""


def describe_layout(table: TableTransform | None) -> dict[str, Any] | None:
    """Return the columns of a decoded table with all their levels, as plain values."""
    if table is None:
        return None
    return {
        "features": table.to_json(),
        "columns": [asdict(each.column) for each in table.columns],
    }


def read_layout(meta: Mapping[str, Any]) -> TableTransform | None:
    """Read the `table` of the decoded data's meta.json; None if the data is no table."""
    layout = meta["table"]
    if layout is None:
        return None
    table = TableTransform.from_json(layout["features"])
    columns = [Column(**each | {"levels": tuple(each["levels"])}) for each in layout["columns"]]
    fitted = [
        replace(each, column=column) for each, column in zip(table.columns, columns, strict=True)
    ]
    return replace(table, columns=tuple(fitted))


def is_plain(table: TableTransform) -> bool:
    """Whether the features of a table follow from each row alone: nothing in it is filled."""
    return all(
        each.column.kind in ("number", "boolean", "category")
        and not each.has_missing
        and not each.is_pooled
        for each in table.columns
    )


def identify_inputs(inputs: Array, table: TableTransform | None) -> Array:
    """Return arrays that are equal where the examples are, whatever the split.

    Of a table that is plain, these are its features, as in earlier versions. Else its cells.
    """
    if table is None:
        return inputs
    cells: Array = np.asarray(inputs)
    if is_plain(table):
        return table.apply(cells, table)
    complete: Array = np.nan_to_num(cells, nan=MISSING)
    return complete


def fit_features(
    cells: Array, layout: TableTransform, train: Array, scaling: ScalingKind | None = None
) -> TableTransform:
    """Fit the transform to the training rows alone."""
    columns = [each.column for each in layout.columns]
    return fit_transform(columns, np.asarray(cells[train]), layout.missing, scaling)


def write_features(
    folder: Path, features: Array, transform: TableTransform, other: Path | None = None
) -> None:
    """Write a transform and the features of all rows.

    Features that are equal to those in the file `other` are not written.
    """
    (folder / TRANSFORM_FILE).write_text(transform.to_json(), encoding="utf-8")
    if other is None or not np.array_equal(features, np.load(other, mmap_mode="r")):
        np.save(folder / "inputs.npy", features)


def read_transform(file: Path) -> TableTransform:
    """Read the transform of a split. Raises DataError."""
    try:
        return TableTransform.from_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise unreadable_error(file.parent, error) from None
