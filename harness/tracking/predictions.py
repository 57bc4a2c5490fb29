"""What a trial said of every example of a part, beside what is true.

`predictions.npy`, of the validation part: a uint8 array [2, examples] in the split's order, row 0
the true classes, row 1 the predicted ones. So one file is enough to tell which examples a trial
has right, whoever reads it.

`test-predictions.npz`, of the test part, written when that was opened: `true`, `predicted` (uint8)
and `probability` (float32, the predicted class's), one value an example in the part's order.
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

FILE = "predictions.npy"
TEST_FILE = "test-predictions.npz"


@dataclass(frozen=True)
class Predictions:
    """One byte an example each."""

    true: bytes
    predicted: bytes

    def to_file(self) -> bytes:
        stream = io.BytesIO()
        rows = [np.frombuffer(row, np.uint8) for row in (self.true, self.predicted)]
        np.save(stream, np.stack(rows))
        return stream.getvalue()

    @classmethod
    def from_file(cls, content: bytes) -> Predictions | None:
        """None for a file that does not hold the true classes too. Raises StoreError."""
        with _readable(FILE):
            rows = np.load(io.BytesIO(content), allow_pickle=False)
            if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8:
                raise ValueError("no array of bytes")
        return cls(rows[0].tobytes(), rows[1].tobytes()) if rows.shape[:1] == (2,) else None


@dataclass(frozen=True)
class TestPredictions:
    """One value an example of the test part each."""

    __test__ = False  # no test class, whatever pytest thinks of its name

    true: npt.NDArray[Any]
    predicted: npt.NDArray[Any]
    probability: npt.NDArray[Any]
    """Of the predicted class, by the model."""

    def to_file(self) -> bytes:
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            true=self.true.astype(np.uint8),
            predicted=self.predicted.astype(np.uint8),
            probability=self.probability.astype(np.float32),
        )
        return stream.getvalue()

    @classmethod
    def from_file(cls, content: bytes) -> TestPredictions:
        """Raises StoreError."""
        with _readable(TEST_FILE):
            stored = np.load(io.BytesIO(content), allow_pickle=False)
            said = cls(*(stored[name] for name in ("true", "predicted", "probability")))
            kinds = [(values.dtype.kind, values.shape) for values in vars(said).values()]
            if kinds != [(kind, (len(said.true),)) for kind in "uuf"]:
                raise ValueError("its parts are not as long as one another, or no numbers")
        return said


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """What a damaged file raises, as one line; a pickle is refused unread."""
    try:
        yield
    except Exception as error:  # damaged, an archive raises anything, zlib's errors among them
        raise StoreError(
            f"{name} of a run cannot be read ({error or type(error).__name__}); `harness doctor` "
            "finds which"
        ) from error
