"""The hash that identifies a split: what trials were trained and validated on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from harness.data.table_features import is_plain
from harness.data.training_files import TrainingFiles
from harness.scoring.table_transform import TableTransform

EARLIER_VALUES = ("integers 0 to 65535", "transparent on white")
"""`DatasetArrays.values` that version 0.1.0 converted to the same bits: the split's hash stays."""


def hash_split(
    digest: str,
    meta: Mapping[str, Any],
    rows: str,
    table: TableTransform | None,
    training: TrainingFiles,
) -> str:
    """Return the SHA-256 of the data's digest and the row numbers of all splits.

    Args:
        digest: That of the data.
        meta: The decoded data's meta.json.
        rows: The hash of the row numbers of the training and validation set, in all folds.
        table: The layout of a table.
        training: The files, with all folds.
    """
    identity = f"{digest} {rows} {meta['test_rows']}"
    identity += "".join(f" {part}" for part in meta["values"] if part not in EARLIER_VALUES)
    if table is not None and is_plain(table) and len(table.names) != training.shape[0]:
        identity += " levels of the training set"  # earlier versions had those of all rows
    if training.folds:
        identity += f" {len(training.folds)} folds"
    if training.reshuffling:
        identity += " reshuffled"
    return hashlib.sha256(identity.encode()).hexdigest()
