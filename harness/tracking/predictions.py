"""What a trial said of every example of a part, beside what is true.

`predictions.npy`, of the validation part: a uint8 array [2, examples] in the split's order, row 0
the true classes, row 1 the predicted ones; of a regression float32, true and foretold values. So
one file is enough to tell which examples a trial has right, whoever reads it.

`test-predictions.npz`, of the test part, written when that was opened: `true`, `predicted` (uint8)
and `probability` (float32, the predicted class's), one value an example in the part's order. Of a
regression `true` and `predicted` are float32, and there is no `probability`.
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
    """One byte an example each; of a regression one float32."""

    true: bytes
    predicted: bytes
    numbers: bool = False
    """Whether they are a regression's."""

    def rows(self) -> npt.NDArray[Any]:
        """[2, examples]: true, predicted."""
        kind = np.float32 if self.numbers else np.uint8
        return np.stack([np.frombuffer(row, kind) for row in (self.true, self.predicted)])

    def to_file(self) -> bytes:
        stream = io.BytesIO()
        np.save(stream, self.rows())
        return stream.getvalue()

    @classmethod
    def from_file(cls, content: bytes) -> Predictions | None:
        """None for a file that does not hold the true classes too. Raises StoreError."""
        with _readable(FILE):
            rows = np.load(io.BytesIO(content), allow_pickle=False)
            if not isinstance(rows, np.ndarray) or rows.dtype not in (np.uint8, np.float32):
                raise ValueError("no array of bytes, nor of float32")
        if rows.shape[:1] != (2,):
            return None
        return cls(rows[0].tobytes(), rows[1].tobytes(), rows.dtype == np.float32)


@dataclass(frozen=True)
class TestPredictions:
    """One value an example of the test part each."""

    __test__ = False  # no test class, whatever pytest thinks of its name

    true: npt.NDArray[Any]
    predicted: npt.NDArray[Any]
    probability: npt.NDArray[Any] | None = None
    """Of the predicted class, by the model; None of a regression."""

    def to_file(self) -> bytes:
        stream = io.BytesIO()
        kind = np.float32 if self.probability is None else np.uint8
        parts = {"true": self.true.astype(kind), "predicted": self.predicted.astype(kind)}
        if self.probability is not None:
            parts["probability"] = self.probability.astype(np.float32)
        np.savez_compressed(stream, allow_pickle=False, **parts)
        return stream.getvalue()

    @classmethod
    def from_file(cls, content: bytes) -> TestPredictions:
        """Raises StoreError."""
        with _readable(TEST_FILE):
            stored = np.load(io.BytesIO(content), allow_pickle=False)
            names = ("true", "predicted", "probability")
            parts = [stored[name] for name in names[: len(stored.files)]]
            said, wanted = cls(*parts), "uuf" if len(parts) == 3 else "ff"
            kinds = [(values.dtype.kind, values.shape) for values in parts]
            if kinds != [(kind, (len(said.true),)) for kind in wanted]:
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
