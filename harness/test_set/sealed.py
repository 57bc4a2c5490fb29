"""The sealed test set: it opens only after the opening is in the log."""

from __future__ import annotations

import uuid

import numpy as np
import torch

from harness.data.cache import map_array
from harness.data.example_hashes import identify_examples
from harness.data.leakage import hash_examples
from harness.data.prepare import PreparedDataset
from harness.data.seal import read_key, unmask_labels
from harness.data.table_features import identify_inputs, read_transform
from harness.data.torch_datasets import Split, read_input_statistics
from harness.errors import DataError, HarnessError
from harness.test_set.log import DEFAULT_FOLDER, Opening, TestSetLog
from harness.test_set.overlap import DatasetParts


class SealedTest:
    """The test set of a prepared dataset, sealed.

    Each call of `open` is in the log, from wherever it comes. The seal guards against accident and
    habit. It is no vault, see `harness.data.seal`.
    """

    def __init__(self, prepared: PreparedDataset) -> None:
        self._prepared = prepared
        self.opening: Opening | None = None
        """The opening as recorded; None while the test set is sealed."""
        self.parts: DatasetParts | None = None
        """The examples by their hashes, once it is open."""

    @classmethod
    def of(cls, prepared: PreparedDataset) -> SealedTest:
        return cls(prepared)

    @property
    def opened(self) -> bool:
        return self.opening is not None

    def open(
        self, log: TestSetLog | None = None, selection: str = "", study: tuple[str, str] = ("", "")
    ) -> Split:
        """Record the opening in the log, then return the test set.

        Args:
            log: By default the one of this test set in `mlruns/` of the current folder.
            selection: The hash of the selection; by default a new one, so that each call counts.
            study: (name, uid) of the study; by default Python.

        Raises HarnessError if it is open already, DataError and StoreError.
        """
        if self.opening is not None:
            raise HarnessError("the test set was already opened for this selection")
        prepared = self._prepared
        log = log or TestSetLog.for_test_set(DEFAULT_FOLDER, prepared.test_digest)
        selection = selection or f"Python {uuid.uuid4().hex}"
        study = study if study[0] else ("Python", selection)
        key, parts = read_key(prepared.test), identify_parts(prepared)
        self.opening = log.record_opening(selection, *study, parts=parts, key=key)
        self.parts = parts
        return self._unmask(key)

    def _unmask(self, key: str) -> Split:
        """Return the test set. Raises DataError if it is not what was sealed."""
        files = self._prepared.test
        prepared = self._prepared
        inputs, labels = map_array(files.inputs, "c"), unmask_labels(files, key)
        if hash_examples(identify_inputs(inputs, prepared.table), labels) != prepared.test_digest:
            raise DataError(
                f"the sealed test set in {files.inputs.parent} was changed; delete that folder, "
                "the next run creates it again"
            )
        training = prepared.training
        if prepared.table is not None and training.transform is not None:
            inputs = read_transform(training.transform).apply(np.asarray(inputs), prepared.table)
        mean, std = read_input_statistics(training)
        return Split(
            torch.from_numpy(inputs), torch.from_numpy(labels), torch.arange(len(labels)), mean, std
        )


def identify_parts(prepared: PreparedDataset) -> DatasetParts:
    """Return the hashes of the examples that are tested and trained on; no label is read."""
    training = prepared.training
    rows = [map_array(training.train_rows), map_array(training.validation_rows)]
    files = (prepared.test.inputs, training.labels.parent / "inputs.npy")
    tests, trained = (identify_inputs(map_array(file), prepared.table) for file in files)
    return DatasetParts(
        identify_examples(tests),
        identify_examples(trained, np.unique(np.concatenate(rows))),
        prepared.digest,
    )
