"""Data in memory as a file that a study reads: a frame as Parquet, arrays as `.npz`.

The file's name has a hash of its content, so the same data is written once, and different data
never replaces it. Workers, a replay and a rerun from the command line read the same file.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.types import Array
from harness.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

TARGET = "target"
"""The column of the labels, where they come apart from the frame and have no name."""
ORDERS = {2: ("x", "y"), 4: ("x", "y", "x_test", "y_test")}
"""What the arrays of a tuple are, by their number."""
ADVICE = (
    "give a name, a path, a DataFrame, (x, y), (x, y, x_test, y_test), a dict of arrays or a torch "
    "Dataset"
)


@dataclass(frozen=True)
class MemoryData:
    """Data that a study reads from memory: either a frame or arrays."""

    frame: pd.DataFrame | None = None
    arrays: Mapping[str, Array] | None = None
    """By the names that an `.npz` has; see `harness.data.npz`."""
    target: str = ""
    """The frame's column of labels, where they came apart from it."""

    @cached_property
    def file_name(self) -> str:
        """The name of its file."""
        suffix = "npz" if self.frame is None else "parquet"
        return f"data-{self._hash_content()[:12]}.{suffix}"

    @property
    def noun(self) -> str:
        """What a message calls it."""
        return "the arrays" if self.frame is None else "the frame"

    def check_target(self, study: str, target: str) -> None:
        """Raise DataError if a frame does not have the column to predict."""
        if self.frame is None or target in self.frame.columns:
            return
        known = did_you_mean(target, map(str, self.frame.columns))
        what = f"the frame has no column '{target}'" if target else "name the column to predict"
        raise DataError(f"{study}: target: {what}{known}")

    def describe(self) -> str:
        """`DataFrame of 569 rows and 31 columns`, or `arrays x [1797, 8, 8], y [1797]`."""
        if self.frame is not None:
            rows, columns = self.frame.shape
            return f"DataFrame of {rows:,} rows and {columns} columns"
        shapes = (f"{name} {list(array.shape)}" for name, array in (self.arrays or {}).items())
        return f"arrays {', '.join(shapes)}"

    def write(self, folder: Path) -> Path:
        """Write the file, unless it is there. Raises DataError for a column of mixed values."""
        path = folder / self.file_name
        if path.exists():
            return path
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self._save(draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return path

    def _save(self, path: Path) -> None:
        if self.frame is None:
            with path.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **dict(self.arrays or {}))
            return
        import pyarrow

        try:
            self.frame.to_parquet(path, index=False)
        except (pyarrow.ArrowException, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"data: the frame cannot be stored ({reason}); give each column values of one kind"
            ) from None

    def _hash_content(self) -> str:
        digest = hashlib.sha256()
        if self.frame is None:
            for name, array in sorted((self.arrays or {}).items()):
                digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
            return digest.hexdigest()
        from pandas.util import hash_pandas_object

        for column in self.frame.columns:
            values = self.frame[column]
            texts = values.map(repr) if values.dtype == object else values
            digest.update(f"{column} {values.dtype}".encode())
            digest.update(hash_pandas_object(texts, index=False).to_numpy().data)
        return digest.hexdigest()


def read_memory(data: Any) -> MemoryData | None:
    """Return data in memory; None for a name or a path. Raises DataError for anything else."""
    if isinstance(data, str | Path):
        return None
    if is_frame(data):
        return MemoryData(frame=_name_columns(data))
    if _is_torch_dataset(data):
        return MemoryData(arrays=_stack_examples(data))
    if isinstance(data, Mapping):
        return MemoryData(arrays=_to_arrays(data))
    if isinstance(data, Sequence):
        return _read_tuple(data)
    raise DataError(f"data: {type(data).__name__} is not supported; {ADVICE}")


def is_frame(data: Any) -> bool:
    """Whether `data` is a pandas DataFrame; pandas is not imported for it."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def _is_torch_dataset(data: Any) -> bool:
    torch_data = sys.modules.get("torch.utils.data")
    return torch_data is not None and isinstance(data, torch_data.Dataset)


def _read_tuple(parts: Sequence[Any]) -> MemoryData:
    if len(parts) == 2 and all(isinstance(part, tuple) and len(part) == 2 for part in parts):
        parts = [*parts[0], *parts[1]]  # ((x, y), (x_test, y_test))
    if len(parts) not in ORDERS:
        raise DataError(f"data: {len(parts)} parts instead of 2 or 4; {ADVICE}")
    if is_frame(parts[0]):
        if len(parts) == 4:
            raise DataError("data: frames have no test set here; join them, or give arrays")
        return _join_labels(parts[0], parts[1])
    return MemoryData(arrays=_to_arrays(dict(zip(ORDERS[len(parts)], parts, strict=True))))


def _join_labels(frame: pd.DataFrame, labels: Any) -> MemoryData:
    """Return a frame with its labels as the last column."""
    values = np.asarray(labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (len(frame),):
        raise DataError(
            f"data: {len(frame):,} rows, but labels of shape {list(values.shape)}; give one each"
        )
    named = _name_columns(frame)
    name = str(getattr(labels, "name", None) or TARGET)
    while name in named.columns:
        name += "_"
    return MemoryData(frame=named.assign(**{name: values}), target=name)


def _name_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with strings as names and without its index."""
    import pandas as pd

    named = frame.reset_index(drop=True)
    names = [
        " ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in frame.columns
    ]
    named.columns = pd.Index(names)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"data: two columns are named '{twice}'; rename one")
    return named


def _to_arrays(parts: Mapping[Any, Any]) -> dict[str, Array]:
    return {str(name): _to_array(values, str(name)) for name, values in parts.items()}


def _to_array(values: Any, name: str) -> Array:
    """Convert an array, a tensor, a frame, a series or a list. Raises DataError."""
    if callable(getattr(values, "detach", None)):  # a torch tensor
        try:
            values = values.detach().cpu().numpy()
        except TypeError as error:  # such as bfloat16, or a sparse tensor
            raise DataError(f"data: {name} is not a NumPy array ({error})") from None
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"data: {name} is not an array ({error}); stack its examples") from None
    if array.dtype == object:
        if not all(isinstance(value, str) for value in array.flat):
            example = next(value for value in array.flat if not isinstance(value, str))
            raise DataError(
                f"data: {name} holds Python objects such as {example!r}; give numbers, or a "
                "DataFrame for columns of several kinds"
            )
        array = array.astype(str)
    return array


def _stack_examples(dataset: Any) -> dict[str, Array]:
    """Return all examples of a torch Dataset of (input, label) pairs."""
    name = type(dataset).__name__
    try:
        examples = [dataset[index] for index in range(len(dataset))]
    except (TypeError, ValueError, NotImplementedError) as error:
        raise DataError(
            f"data: {name} does not give (input, label) pairs by index ({error})"
        ) from error  # which may be of the dataset's own code
    if not examples:
        raise DataError(f"data: {name} has no examples")
    for each in examples:  # a tensor of two rows would be unpacked too, and a dict's keys
        if not isinstance(each, tuple | list) or len(each) != 2:
            count = f" of {len(each)}" if isinstance(each, tuple | list) else ""
            raise DataError(
                f"data: {name} gives a {type(each).__name__}{count} by index, and not an "
                "(input, label) pair"
            )
    inputs, labels = zip(*examples, strict=True)
    arrays = [_to_array(each, "an input") for each in inputs]
    targets = [_to_array(each, "a label") for each in labels]
    for what, values in (("inputs", arrays), ("labels", targets)):
        shapes = sorted({each.shape for each in values})
        if len(shapes) > 1:
            few = ", ".join(str(list(shape)) for shape in shapes[:3])
            raise DataError(f"data: {what} have different shapes, such as {few}; make them equal")
    return {"x": np.stack(arrays), "y": np.stack(targets)}
