"""The file of a confirmation run's predictions on its validation set, after every epoch.

`validation-by-epoch.npz` has `epoch` int32 [E], `true` [n] and `predicted` [E, n], uint8 classes or
a regression's float32 values. `loss` float32 [E, n] has the examples' losses, where the study's
objective is the loss of a classification. What was chosen by these numbers can be chosen again
without one of the examples, see harness.stats.selection.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.tracking.predictions import damage_as_store_error

EPOCH_PREDICTIONS_FILE = "validation-by-epoch.npz"

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class EpochPredictions:
    """Predictions on one validation set after every epoch."""

    epochs: Values
    """int32 [E], counted from 1."""
    true: Values
    """[n] uint8 classes, or float32 values of a regression."""
    predicted: Values
    """[E, n], of the same type."""
    losses: Values | None = None
    """float32 [E, n]."""

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        arrays = {"epoch": self.epochs, "true": self.true, "predicted": self.predicted}
        if self.losses is not None:
            arrays["loss"] = self.losses
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, **arrays)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> EpochPredictions:
        """Read the file. Raises StoreError for a damaged one."""
        with damage_as_store_error(EPOCH_PREDICTIONS_FILE):
            stored = np.load(io.BytesIO(content), allow_pickle=False)
            names = ("epoch", "true", "predicted", "loss")
            arrays = [stored[name] for name in names if name in stored.files]
            epochs, true, predicted, *losses = arrays
            kinds = epochs.dtype.kind + true.dtype.kind + predicted.dtype.kind
            shape = (len(epochs), len(true))
            tables = (predicted, *losses)
            if kinds not in ("iuu", "iff") or not all(table.shape == shape for table in tables):
                raise ValueError("its arrays differ in length, or have the wrong type")
        return cls(epochs, true, predicted, *losses)
