"""A dataset before decoding (`Source`), after it (`DatasetArrays`), and options of custom data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from harness.results import Task
from harness.scoring.feature_scaling import ScalingKind

if TYPE_CHECKING:
    from harness.scoring.table_transform import TableTransform

Array = npt.NDArray[Any]
DigitStyle = Literal["mnist", "nist"]
"""How handwritten digits were normalized; see `harness.inference.digit_normalization`."""


ColumnKind = Literal[
    "number", "category", "boolean", "date", "date-dmy", "date-mdy", "time", "ignore"
]
"""The kinds of columns that [data.columns] takes."""

MISSING_TEXTS = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""The texts that count as missing by default, as in pandas."""


Normalize = bool | ScalingKind
"""[data] normalize: whether values are standardized, or how the numbers of a table are scaled."""


def get_scaling(normalize: Normalize) -> ScalingKind | None:
    """Return how the numbers of a table are scaled; None for values that the network itself
    standardizes or leaves."""
    return None if isinstance(normalize, bool) else normalize


LabelType = Literal["text", "integer", "boolean"]


@dataclass(frozen=True)
class DataOptions:
    """The keys of [data] about how custom data is read."""

    task: Task = "classes"
    target: str = ""
    """The column of a table to predict."""
    ignore: tuple[str, ...] = ()
    """Columns of a table to leave out."""
    size: tuple[int, ...] = ()
    """Height and width that images are resized to; empty for no resizing."""
    sheet: str = ""
    """The sheet of an Excel file; empty for the first visible one that has the target."""
    decimal: Literal["", ".", ","] = ""
    """The decimal mark of numbers that are written as texts; empty to guess it."""
    missing: tuple[str, ...] = MISSING_TEXTS
    """The texts of a table that count as missing; an empty cell always does."""
    max_categories: int = 0
    """The most categories of a column of texts that become features; 0 for 50, and for half of the
    rows."""

    encoding: str = ""
    """The encoding of a text file; empty to guess it."""
    columns: tuple[tuple[str, str], ...] = ()
    """The kinds of a table's columns that are not guessed, by the columns' names."""
    group: str = ""
    """The column of a table whose rows stay together in one split."""
    time: str = ""
    """The column of a table by which the splits are ordered."""

    @classmethod
    def of(cls, **values: Any) -> DataOptions:
        """Create the options from a table of a study file; lists and tables become tuples."""
        frozen: dict[str, Any] = {}
        for key, value in values.items():
            items = value.items() if isinstance(value, Mapping) else value
            frozen[key] = value if isinstance(value, (str, int)) else tuple(items)
        return cls(**frozen)


@dataclass(frozen=True)
class DatasetArrays:
    """A dataset in memory.

    Inputs [N, *shape]: uint8 for images, float32 [N, D] for features, float64 [N, C] for the cells
    of a table. Labels [N]: int64 in
    0..C-1, or for a regression float32 in the target's units, without classes.
    """

    inputs: Array
    labels: Array
    test: tuple[Array, Array] | None
    """The dataset's own test set; None if one must be held out."""
    is_validation: Array | None = field(default=None, kw_only=True)
    """Which inputs are the validation set that the dataset comes with, bool [N]; None if none."""
    classes: tuple[str, ...]
    scale: float
    """The largest value an input can take; 1 for features."""
    test_rows: str = ""
    """Digest of the rows held out as the test set, if they were."""
    columns: tuple[str, ...] = ()
    """The names of a table's features."""
    indicators: tuple[int, ...] = ()
    """Indices of the features that are 0 or 1 for a category: they are not standardized."""
    target: str = ""
    """The name of the labels, if the data has one."""
    notes: tuple[str, ...] = ()
    """What was guessed or left out, one line each, for people."""
    values: tuple[str, ...] = ()
    """How unusual values were converted, which `harness predict` has to repeat."""
    table: TableTransform | None = None
    """Of a table, whose inputs are cells: the features as fitted to all rows. They identify
    examples; what trials train on is fitted on training rows."""
    report: tuple[dict[str, Any], ...] = ()
    """What became of each column of a table, see `table_notes`."""
    label_type: LabelType = "text"
    """What the classes of a table were before they became texts."""
    groups: Array | None = None
    """The group of each input that must not be split, int64 [N]."""
    times: Array | None = None
    """By what the splits are ordered, float64 [N]."""

    @property
    def has_feature_statistics(self) -> bool:
        """Whether each feature has its own mean and standard deviation; images share one."""
        is_features = self.inputs.ndim == 2 and self.inputs.dtype == np.float32
        return is_features or self.table is not None


@dataclass(frozen=True)
class Source:
    """A dataset whose files were found and checked, not yet decoded."""

    name: str
    location: str
    """For people: a folder, or the library that bundles it."""
    digest: str
    """Changes whenever the decoded content does."""
    has_test: bool
    """Whether it comes with a test set."""
    decode: Callable[[], DatasetArrays]
    has_validation: bool = False
    """Whether it comes with a validation set."""
