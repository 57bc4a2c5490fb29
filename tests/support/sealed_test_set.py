"""A sealed test set, opened or unmasked for tests that compare with it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy.typing as npt

from harness.data.prepare import PreparedDataset
from harness.data.seal import read_key, unmask_labels
from harness.data.torch_datasets import Split
from harness.test_set.log import TestSetLog
from harness.test_set.sealed import SealedTest


def read_test_labels(prepared: PreparedDataset) -> npt.NDArray[Any]:
    """Unmask the labels without an opening."""
    return unmask_labels(prepared.test, read_key(prepared.test))


def open_test_set(prepared: PreparedDataset) -> Split:
    """Open the test set, with a log that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        return SealedTest.of(prepared).open(TestSetLog(Path(folder) / "log.jsonl"))
