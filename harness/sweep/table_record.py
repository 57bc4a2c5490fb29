"""What is recorded of a study's table, so that its models score raw rows without the data.

The study's run has `transform.json`, the features of its own split, and `transform-1.json` and so
on of the splits of its confirmation runs; and `table.json` with the labels as they are in the data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.data.prepare import PreparedDataset
from harness.data.table_features import read_transform
from harness.inference.prediction_interval import measure_interval
from harness.scoring.champion import CHAMPION_FILE, TRANSFORM_FILE
from harness.tracking.raw_types import TABLE_FILE, transform_file
from harness.tracking.types import RunRecord
from harness.trial import WHOLE, Loss

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


def log_table(prepared: PreparedDataset, tracker: Tracker, uid: str) -> None:
    """Record the transform of each split on the run `uid`; nothing if the data is no table."""
    if prepared.table is None:
        return
    training = prepared.training
    splits = dict(enumerate((training, *training.redrawn)))
    if training.whole is not None:
        splits[WHOLE] = training.whole
    for split, files in splits.items():
        if files.transform is not None:
            content = read_transform(files.transform).to_json().encode()
            tracker.log_file(uid, transform_file(split), content)
    document = {"target": training.target, "labels": list_labels(prepared)}
    tracker.log_file(uid, TABLE_FILE, json.dumps(document).encode())


def build_scoring(
    prepared: PreparedDataset, tracker: Tracker, run: RunRecord, loss: Loss
) -> dict[str, str]:
    """Return the files that make the model of a run take raw rows; none if the data is no table.

    `loss`: the one whose logits its outputs are.
    """
    return build_scoring_files(prepared, loss, measure_interval(tracker, run))


def build_scoring_files(
    prepared: PreparedDataset, loss: str, interval: Mapping[str, Any]
) -> dict[str, str]:
    """Return the same for a model whose outputs are those of this loss.

    `interval`: that of a number, see `measure_interval`.
    """
    transform = prepared.training.transform
    if prepared.table is None or transform is None:
        return {}
    champion = {
        "format": 1,
        "target": prepared.training.target,
        "labels": list_labels(prepared),
        "loss": loss,
        **interval,
    }
    transform_text = read_transform(transform).to_json()
    return {TRANSFORM_FILE: transform_text, CHAMPION_FILE: json.dumps(champion)}


def list_labels(prepared: PreparedDataset) -> list[Any]:
    """Return the classes as they are in the data: texts, integers, or True and False."""
    classes = prepared.training.classes
    if prepared.label_type == "integer":
        return [int(each) for each in classes]
    if prepared.label_type == "boolean":
        return [each == "True" for each in classes]
    return list(classes)
