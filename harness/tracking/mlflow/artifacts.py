"""What runs keep beside parameters and metrics: a trial's files, a study's dataset."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag

from harness.tracking.predictions import FILE, Predictions
from harness.tracking.records import StudyRecord
from harness.trial import TrialResult


def write_files(
    folder: Path,
    document: dict[str, Any],
    result: TrialResult | None,
    classes: Sequence[str],
    validation_labels: bytes,
) -> None:
    """Put `trial.json` into `folder`, and what a trial that has a result adds to it.

    `validation_labels` as a StudyRecord has them; without them no predictions are kept.
    """
    (folder / "trial.json").write_text(json.dumps(document))
    if result is None:
        return
    with (folder / "confusion.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["true \\ predicted", *classes])
        table.writerows([name, *row] for name, row in zip(classes, result.confusion, strict=True))
    if validation_labels:
        predictions = Predictions(validation_labels, result.predictions)
        (folder / FILE).write_bytes(predictions.to_file())


def dataset_input(record: StudyRecord) -> DatasetInput:
    """What a study was trained on, as MLflow shows it."""
    dataset = Dataset(
        name=record.dataset,
        digest=record.dataset_digest[:36],
        source_type="local",
        source=json.dumps({"uri": record.dataset_source}),
        profile=json.dumps(record.sizes),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
