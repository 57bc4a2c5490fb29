"""The files of a trial's run, and the dataset entry of a study's run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag

from harness.results import TrialResult
from harness.tracking.epoch_predictions import EPOCH_PREDICTIONS_FILE, EpochPredictions
from harness.tracking.predictions import PREDICTIONS_FILE, Predictions
from harness.tracking.raw_types import CONFUSION_FILE
from harness.tracking.types import StudyRecord


def build_trial_files(
    document: dict[str, Any],
    result: TrialResult | None,
    classes: Sequence[str],
    validation_labels: bytes,
) -> dict[str, bytes]:
    """Return the files of a trial by name: `trial.json`, and more if it has a result.

    `validation_labels` are a StudyRecord's; without them there is no file of predictions. A
    confirmation run has its own.
    """
    files = {"trial.json": json.dumps(document).encode()}
    if result is None:
        return files
    if classes:
        lines = io.StringIO(newline="")
        table = csv.writer(lines)
        table.writerow(["true \\ predicted", *classes])
        table.writerows([name, *row] for name, row in zip(classes, result.confusion, strict=True))
        files[CONFUSION_FILE] = lines.getvalue().encode()
    if result.by_epoch:
        files[EPOCH_PREDICTIONS_FILE] = result.by_epoch
        validation_labels = EpochPredictions.from_bytes(result.by_epoch).true.tobytes()
    if validation_labels:
        predictions = Predictions(validation_labels, result.predictions, is_regression=not classes)
        files[PREDICTIONS_FILE] = predictions.to_bytes()
    return files


def build_dataset_input(record: StudyRecord) -> DatasetInput:
    """Return a study's dataset as MLflow shows it."""
    dataset = Dataset(
        name=record.dataset,
        digest=record.dataset_digest[:36],
        source_type="local",
        source=json.dumps({"uri": record.dataset_source}),
        profile=json.dumps(record.sizes),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
