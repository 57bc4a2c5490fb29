"""The features that a column's cells become, fitted on the rows of a training set alone.

number    itself, and `column missing`, 0 or 1, where the training rows have missing values
boolean   0 or 1, likewise
category  `column=level`, 0 or 1, for each level of the training rows, and `column missing`. Of more
          levels than the limit the most frequent are kept, but none that occurs once, and the
          others are `column (rare)`
date      days since the first training date, and the year, month, weekday and hour where they vary
time      hours since midnight

A missing value is the training rows' median, or the more frequent one of a boolean. A category's
missing value, or a level that the training rows do not have, is 0 everywhere, or rare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .column import UNSEEN, Cells, Column

Features = npt.NDArray[np.float32]
DAY = 86_400
MAX_ROUNDING = 1e-3
"""The rounding to float32, as a fraction of a column's standard deviation."""


@dataclass(frozen=True)
class ColumnFeatures:
    """A column with what was fitted of it."""

    column: Column
    names: tuple[str, ...]
    """Those of the features; none if the training rows have no value at all."""
    levels: tuple[str, ...] = ()
    """The levels of a category that have a feature."""
    is_pooled: bool = False
    """Whether a feature stands for all other levels."""
    has_missing: bool = False
    """Whether the last feature is 1 where the value is missing."""
    offset: float = 0.0
    """Subtracted in float64, because float32 cannot tell the values apart; the first date."""
    fill: tuple[float, ...] = ()
    """What stands for a missing value, one for each number."""
    parts: tuple[str, ...] = ()
    """The parts of a date that vary."""

    @property
    def indicators(self) -> tuple[int, ...]:
        """Which of the features are 0 or 1."""
        count = len(self.names)
        if self.column.kind in ("category", "boolean"):
            return tuple(range(count))
        return (count - 1,) if self.has_missing else ()

    def apply(self, cells: Cells, levels: Sequence[str] = ()) -> Features:
        """Return the features [N, D] of cells [N]; a category's cells are places in `levels`."""
        if not self.names:
            return np.zeros((len(cells), 0), np.float32)
        is_missing = np.isnan(cells)
        if self.column.kind == "category":
            features = self._encode_levels(cells, is_missing, levels)
        else:
            values = self._list_numbers(cells)
            columns = [
                np.where(is_missing, fill, value)
                for value, fill in zip(values, self.fill, strict=True)
            ]
            features = np.stack(columns, 1).astype(np.float32) + np.float32(0)  # -0 becomes 0
        if self.has_missing:
            features = np.column_stack([features, is_missing.astype(np.float32)])
        return features

    def _encode_levels(
        self, cells: Cells, is_missing: npt.NDArray[np.bool_], levels: Sequence[str]
    ) -> Features:
        places = {level: place for place, level in enumerate(self.levels)}
        none = len(self.levels) if self.is_pooled else -1
        lookup = np.array([*(places.get(level, none) for level in levels), none], np.int64)
        codes = lookup[np.where(is_missing, UNSEEN, cells).astype(np.int64)]
        codes[is_missing] = -1
        width = len(self.levels) + self.is_pooled
        features: Features = (codes[:, None] == np.arange(width)).astype(np.float32)
        return features

    def _list_numbers(self, cells: Cells) -> list[Cells]:
        if self.column.kind != "date":
            return [cells - self.offset if self.offset else cells]
        return [(cells - self.offset) / DAY, *(_compute_part(cells, part) for part in self.parts)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; what has its default is left out."""
        values: dict[str, Any] = {"name": self.column.name, "kind": self.column.kind}
        for key in ("mark", "order", "limit"):
            values[key] = getattr(self.column, key)
        values["texts"] = self.column.levels if self.column.kind == "boolean" else ()
        for key in FITTED:
            values[key] = getattr(self, key)
        return {key: value for key, value in values.items() if value not in ("", 0, (), False)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ColumnFeatures:
        """Read what `to_dict` wrote; a category's column has the fitted levels."""
        texts = tuple(values.get("levels", ()) or values.get("texts", ()))
        column = Column(
            values["name"],
            values["kind"],
            texts,
            values.get("mark", ""),
            values.get("order", ""),
            values.get("limit", 0),
        )
        return cls(
            column,
            tuple(values.get("names", ())),
            tuple(values.get("levels", ())),
            bool(values.get("is_pooled", False)),
            bool(values.get("has_missing", False)),
            float(values.get("offset", 0.0)),
            tuple(map(float, values.get("fill", ()))),
            tuple(values.get("parts", ())),
        )


FITTED = ("names", "levels", "is_pooled", "has_missing", "offset", "fill", "parts")
"""The fields of ColumnFeatures that are fitted."""


def fit_column(column: Column, cells: Cells) -> ColumnFeatures:
    """Fit the features of a column to the cells of training rows."""
    known = cells[~np.isnan(cells)]
    has_missing = len(known) < len(cells)
    if not len(known):
        return ColumnFeatures(column, ())
    marker = [f"{column.name} missing"] if has_missing else []
    if column.kind == "category":
        return _fit_category(column, known, has_missing, marker)
    parts: tuple[str, ...] = ()
    names, offset = [column.name], 0.0
    if column.kind == "date":
        offset = float(known.min())
        parts = tuple(part for part in PARTS if len(np.unique(_compute_part(known, part))) > 1)
        names = [f"{column.name} days", *(f"{column.name} {part}" for part in parts)]
    elif column.kind == "number" and (offset := find_offset(known)):
        names = [f"{column.name} - {offset:.17g}"]
    plain = ColumnFeatures(column, tuple(names), offset=offset, parts=parts)
    fill = [float(np.median(each)) for each in plain._list_numbers(known)]
    if column.kind == "boolean":
        fill = [float(fill[0] >= 0.5)]
    return ColumnFeatures(
        column,
        tuple(names + marker),
        has_missing=has_missing,
        offset=offset,
        fill=tuple(fill),
        parts=parts,
    )


def _fit_category(
    column: Column, known: Cells, has_missing: bool, marker: list[str]
) -> ColumnFeatures:
    places = known[known != UNSEEN].astype(np.int64)
    counts = np.bincount(places, minlength=len(column.levels))
    kept = np.flatnonzero(counts)
    is_pooled = 0 < column.limit < len(kept)
    if is_pooled:
        repeated = kept[counts[kept] > 1]
        most = np.argsort(-counts[repeated], kind="stable")[: column.limit]
        kept = np.sort(repeated[most])
    levels = [column.levels[place] for place in kept]
    names = [f"{column.name}={level}" for level in levels]
    rare = [f"{column.name} (rare)"] if is_pooled else []
    return ColumnFeatures(
        column, (*names, *rare, *marker), tuple(levels), is_pooled, has_missing
    )  # fmt: skip


def find_offset(numbers: npt.NDArray[Any], limit: float = MAX_ROUNDING) -> float:
    """Return a number to subtract in float64 before the conversion to float32; mostly 0.

    float32 has 24 bits: seconds since 1970 become multiples of 128. A number is returned only if
    the rounding is more than `limit` standard deviations.
    """
    values = numbers.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(values.std())
        error = float(np.abs(values.astype(np.float32) - values).max())
    if not np.isfinite([spread, error]).all():
        return 0.0
    return float(np.floor(values.min())) if error > limit * spread else 0.0


PARTS = ("year", "month", "weekday", "hour")


def _compute_part(seconds: Cells, part: str) -> Cells:
    """Return a part of dates in seconds since 1970; NaN for a missing date. Monday is 0."""
    whole = np.floor(np.nan_to_num(seconds, nan=0.0)).astype(np.int64)
    dates = whole.astype("datetime64[s]")
    if part == "year":
        values = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    elif part == "month":
        values = dates.astype("datetime64[M]").astype(np.int64) % 12 + 1
    elif part == "weekday":
        values = (whole // DAY + 3) % 7
    else:
        values = whole % DAY // 3600
    return np.where(np.isnan(seconds), np.nan, values.astype(np.float64))
