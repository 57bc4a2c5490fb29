"""What runs keep beside parameters and metrics: a trial's files, a study's dataset."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag

from harness.results import TrialResult
from harness.tracking.predictions import FILE, Predictions
from harness.tracking.types import StudyRecord


def trial_files(
    document: dict[str, Any],
    result: TrialResult | None,
    classes: Sequence[str],
    validation_labels: bytes,
) -> dict[str, bytes]:
    """`trial.json`, and what a trial that has a result adds to it, by name.

    `validation_labels` as a StudyRecord has them; without them no predictions are kept.
    """
    files = {"trial.json": json.dumps(document).encode()}
    if result is None:
        return files
    if classes:
        lines = io.StringIO(newline="")
        table = csv.writer(lines)
        table.writerow(["true \\ predicted", *classes])
        table.writerows([name, *row] for name, row in zip(classes, result.confusion, strict=True))
        files["confusion.csv"] = lines.getvalue().encode()
    if validation_labels:
        said = Predictions(validation_labels, result.predictions, numbers=not classes)
        files[FILE] = said.to_file()
    return files


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
