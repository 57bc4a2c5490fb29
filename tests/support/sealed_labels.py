"""The labels of a sealed test set, for tests that compare with them; no opening is recorded."""

from __future__ import annotations

import numpy.typing as npt

from harness.data.prepare import PreparedDataset
from harness.data.seal import read_key, unmask_labels


def read_test_labels(prepared: PreparedDataset) -> npt.NDArray[object]:
    return unmask_labels(prepared.test, read_key(prepared.test))
