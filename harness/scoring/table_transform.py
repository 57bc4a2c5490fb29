"""The columns of a table as features: plain parameters, and how raw rows become numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .column import Cells, Column
from .column_features import ColumnFeatures, Features, fit_column
from .feature_scaling import FeatureScaling, ScalingKind, fit_scaling

if TYPE_CHECKING:
    import pandas as pd

FORMAT, FORMAT_WITH_SCALING = 1, 2
"""Versions of the parameters as JSON: increase them when their meaning changes."""


@dataclass(frozen=True)
class TableTransform:
    """The features of a table, fitted on training rows."""

    columns: tuple[ColumnFeatures, ...]
    missing: tuple[str, ...] = ()
    """The texts that count as missing."""
    scaling: FeatureScaling | None = None
    """How the features of numbers are scaled before the network standardizes them."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features."""
        return tuple(name for each in self.columns for name in each.names)

    @property
    def indicators(self) -> tuple[int, ...]:
        """Which features are 0 or 1; they are not standardized."""
        places, start = [], 0
        for each in self.columns:
            places += [start + place for place in each.indicators]
            start += len(each.names)
        return tuple(places)

    @property
    def groups(self) -> tuple[int, ...]:
        """For each feature: 0 for a number, n for a 0-or-1 feature of the n-th such column,
        counted from 1."""
        groups: list[int] = []
        count = 0
        for each in self.columns:
            indicators = set(each.indicators)
            count += bool(indicators)
            groups += [count if place in indicators else 0 for place in range(len(each.names))]
        return tuple(groups)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the columns that raw rows need."""
        return tuple(each.column.name for each in self.columns)

    def apply(self, cells: Cells, layout: TableTransform | None = None) -> Features:
        """Return the features, float32 [N, D], of cells [N, C].

        `layout`: the transform whose levels the cells refer to; this one by default.
        """
        bases = (layout or self).columns
        parts = [
            each.apply(cells[:, place], base.column.levels)
            for place, (each, base) in enumerate(zip(self.columns, bases, strict=True))
        ]
        if not parts:
            return np.zeros((len(cells), 0), np.float32)
        features = np.ascontiguousarray(np.concatenate(parts, 1))
        return features if self.scaling is None else self.scaling.apply(features)

    def read_cells(self, frame: pd.DataFrame) -> Cells:
        """Return the cells [N, C] of raw rows. A column that is not there is missing everywhere."""
        from pandas.api import types

        cells = np.full((len(frame), len(self.columns)), np.nan)
        for place, each in enumerate(self.columns):
            if each.column.name in frame.columns:
                values = frame[each.column.name]
                if self.missing and not types.is_numeric_dtype(values):
                    values = values.mask(values.isin(["", *self.missing]))
                cells[:, place] = each.column.read_cells(values)
        return cells

    def read_features(self, frame: pd.DataFrame) -> Features:
        """Return the features, float32 [N, D], of raw rows of any types."""
        return self.apply(self.read_cells(frame))

    def to_json(self) -> str:
        """Return the parameters as JSON."""
        columns = [each.to_dict() for each in self.columns]
        document = {"format": FORMAT, "missing": self.missing, "columns": columns}
        if self.scaling is not None:
            document |= {"format": FORMAT_WITH_SCALING, "scaling": self.scaling.to_dict()}
        return json.dumps(document, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> TableTransform:
        """Read what `to_json` wrote. Raises ValueError for anything else."""
        try:
            document: Mapping[str, Any] = json.loads(text)
            if document["format"] not in (FORMAT, FORMAT_WITH_SCALING):
                raise ValueError(f"format {document['format']}, not {FORMAT_WITH_SCALING}")
            columns = tuple(ColumnFeatures.from_dict(each) for each in document["columns"])
            scaling = None
            if document["format"] == FORMAT_WITH_SCALING:
                scaling = FeatureScaling.from_dict(document["scaling"])
            return cls(columns, tuple(document["missing"]), scaling)
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is no transform of a table: {error!r}") from None


def fit_transform(
    columns: Sequence[Column],
    cells: Cells,
    missing: Sequence[str] = (),
    scaling: ScalingKind | None = None,
) -> TableTransform:
    """Fit the features of a table, and their scaling, to the cells [N, C] of training rows."""
    fitted = [fit_column(column, cells[:, place]) for place, column in enumerate(columns)]
    transform = TableTransform(tuple(fitted), tuple(missing))
    if scaling is None:
        return transform
    features, indicators = transform.apply(cells), set(transform.indicators)
    places = [place for place in range(features.shape[1]) if place not in indicators]
    return replace(transform, scaling=fit_scaling(scaling, features, places))
