"""`predictions.npy`: what a trial said of every validation example, beside what is true.

A uint8 array [2, examples] in the split's order: row 0 the true classes, row 1 the predicted ones.
So one file is enough to tell which examples a trial has right, whoever reads it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

FILE = "predictions.npy"


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
        """None for a file that does not hold the true classes too."""
        rows = np.load(io.BytesIO(content))
        return cls(rows[0].tobytes(), rows[1].tobytes()) if rows.shape[:1] == (2,) else None
