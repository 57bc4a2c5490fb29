"""The files of a trial's predictions on the validation set and on the test set.

`predictions.npy`, of the validation set: a uint8 array [2, examples] in the split's order. Row 0
holds the true classes, row 1 the predicted ones; for a regression they are float32 values.

`test-predictions.npz`, written when the test set was opened: `true`, `predicted` (uint8) and
`probability` (float32, of the predicted class), one value an example. For a regression `true` and
`predicted` are float32, and there is no `probability`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import StoreError

PREDICTIONS_FILE = "predictions.npy"
TEST_PREDICTIONS_FILE = "test-predictions.npz"


@dataclass(frozen=True)
class Predictions:
    """Predictions on the validation set: one byte an example, or one float32 for a regression."""

    true: bytes
    predicted: bytes
    is_regression: bool = False

    def to_array(self) -> npt.NDArray[Any]:
        """Return an array [2, examples]: true, predicted."""
        dtype = np.float32 if self.is_regression else np.uint8
        return np.stack([np.frombuffer(row, dtype) for row in (self.true, self.predicted)])

    def to_bytes(self) -> bytes:
        """Return the content of `predictions.npy`."""
        stream = io.BytesIO()
        np.save(stream, self.to_array())
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Predictions | None:
        """Read `predictions.npy`; None for an old file without the true classes.

        Raises StoreError for a damaged file.
        """
        with damage_as_store_error(PREDICTIONS_FILE):
            rows = np.load(io.BytesIO(content), allow_pickle=False)
            if not isinstance(rows, np.ndarray) or rows.dtype not in (np.uint8, np.float32):
                raise ValueError("not an array of uint8 or float32")
        if rows.shape[:1] != (2,):
            return None
        return cls(rows[0].tobytes(), rows[1].tobytes(), rows.dtype == np.float32)


@dataclass(frozen=True)
class TestPredictions:
    """Predictions on the test set: one value an example."""

    __test__ = False  # pytest would collect it as a test class

    true: npt.NDArray[Any]
    predicted: npt.NDArray[Any]
    probability: npt.NDArray[Any] | None = None
    """The model's probability of the predicted class; None for a regression."""

    def to_bytes(self) -> bytes:
        """Return the content of `test-predictions.npz`."""
        stream = io.BytesIO()
        dtype = np.float32 if self.probability is None else np.uint8
        arrays = {"true": self.true.astype(dtype), "predicted": self.predicted.astype(dtype)}
        if self.probability is not None:
            arrays["probability"] = self.probability.astype(np.float32)
        np.savez_compressed(stream, allow_pickle=False, **arrays)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> TestPredictions:
        """Read `test-predictions.npz`. Raises StoreError for a damaged file."""
        with damage_as_store_error(TEST_PREDICTIONS_FILE):
            stored = np.load(io.BytesIO(content), allow_pickle=False)
            names = ("true", "predicted", "probability")
            arrays = [stored[name] for name in names[: len(stored.files)]]
            predictions, kinds = cls(*arrays), "uuf" if len(arrays) == 3 else "ff"
            expected = [(kind, (len(predictions.true),)) for kind in kinds]
            if [(array.dtype.kind, array.shape) for array in arrays] != expected:
                raise ValueError("its arrays differ in length, or have the wrong type")
        return predictions


@contextmanager
def damage_as_store_error(name: str) -> Iterator[None]:
    """Raise a StoreError of one line for a damaged file."""
    try:
        yield
    except Exception as error:  # a damaged archive raises many types, zlib's errors among them
        raise StoreError(
            f"{name} of a run cannot be read ({error or type(error).__name__}); `harness doctor` "
            "finds the run"
        ) from error
