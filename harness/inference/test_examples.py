"""`harness predict STUDY --test N`: a model's recorded predictions for test images, one by one.

They were recorded when the test set was opened. No model runs here, and the sealed test set is not
opened: only its images are read from its files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.formatting import format_count
from harness.analysis.lookup import find_trial
from harness.config.schema import fill_defaults
from harness.data.cache import map_array
from harness.data.prepare import PreparedDataset, prepare
from harness.errors import DataError, StoreError, StudyError, UserError
from harness.stats.proportions import compute_interval
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.tracking.types import CONFIRM_INFIX, RunRecord, StudyRun
from harness.workspace import Workspace


@dataclass(frozen=True)
class Example:
    """One test image, its class and the model's prediction."""

    row: int
    """Its index in the test set."""
    true: str
    predicted: str
    probability: float
    """The model's probability of the predicted class."""
    image: npt.NDArray[Any] | None = None
    """uint8 as in the dataset; None if its files are missing."""

    @property
    def is_right(self) -> bool:
        return self.true == self.predicted

    def to_dict(self) -> dict[str, Any]:
        return {
            "image": self.row,
            "true": self.true,
            "predicted": self.predicted,
            "probability": self.probability,
            "right": self.is_right,
        }


@dataclass(frozen=True)
class ExamplePredictions:
    """Predictions for some test images, and the number of correct ones among all."""

    name: str
    """The trial: `STUDY/12`."""
    examples: tuple[Example, ...]
    right: int
    total: int
    split: str = "test"
    """`substitute test` if the study's test set is one."""
    only_wrong: bool = False
    """Whether `examples` are mistakes only."""
    copies: int = 0
    """The test images that are copies of another one."""
    missing_images: str = ""
    """Why there are no images; empty if there are."""

    @property
    def summary(self) -> str:
        count = len(self.examples)
        shown = f"{sum(example.is_right for example in self.examples)} of these {count} right"
        if self.only_wrong:
            shown = f"{count} of its {format_count(self.total - self.right, 'mistake')}"
        low, high = compute_interval(self.right, self.total, copies=self.copies)
        return (
            f"{self.name}: {shown}; {self.right:,} of all {self.total:,} {self.split} images are "
            f"right ({self.right / self.total:.4f}; 95 %: {low:.4f} to {high:.4f})"
        )


def read_test_predictions(
    workspace: Workspace,
    name: str,
    tracking_uri: str | None,
    count: int,
    *,
    start: int = 0,
    only_wrong: bool = False,
    data_dir: Path | None = None,
) -> ExamplePredictions:
    """Read the predictions for the next `count` test images, starting at the index `start`.

    Args:
        name: A study, for its champion; `STUDY/12`; or an MLflow run ID.
        only_wrong: Return mistakes only.
        data_dir: The folder of the datasets, for the images.

    Raises UserError.
    """
    if count < 1:
        raise UserError(f"--test: must be at least 1, not {count}")
    tracker = workspace.open_tracker(tracking_uri, reading=True)
    study, run = find_trial(tracker, name)
    if not study.classes:
        raise UserError(
            f"{study.name} predicts {study.score.target}, a number, and has no images to "
            f"show; `harness report {study.name}` shows predicted against true"
        )
    content = tracker.read_file(run.run_id, TEST_PREDICTIONS_FILE)
    if content is None:
        raise _not_read_error(study, run)
    predictions = TestPredictions.from_bytes(content)
    true, predicted = predictions.true, predictions.predicted
    total, classes = len(true), study.classes
    if total and max(true.max(), predicted.max()) >= len(classes):
        raise StoreError(
            f"{TEST_PREDICTIONS_FILE} of {study.name}/{run.number} has classes that "
            f"'{study.name}' does not have; run `harness doctor {study.name}`"
        )
    if not 0 <= start < total:
        raise UserError(f"--from: the test images are 0 to {total - 1:,}, not {start}")
    is_right = true == predicted
    rows = np.arange(start, total)
    rows = (rows[~is_right[rows]] if only_wrong else rows)[:count]
    images, missing_images = _load_images(study, rows, data_dir)
    probability = predictions.probability
    examples = tuple(
        Example(
            int(row),
            classes[true[row]],
            classes[predicted[row]],
            float("nan") if probability is None else float(probability[row]),
            None if images is None else images[index],
        )
        for index, row in enumerate(rows)
    )
    seed = f" (seed {run.spec.seed})" if CONFIRM_INFIX in run.uid else ""
    trial = f"{study.name}/{run.number}{seed}"
    reading = study.find_reading(run)
    return ExamplePredictions(
        trial,
        examples,
        int(is_right.sum()),
        total,
        study.test_name,
        only_wrong,
        reading.copies if reading else 0,
        missing_images,
    )


def _not_read_error(study: StudyRun, run: RunRecord) -> StudyError:
    trial = f"{study.name}/{run.number}"
    if study.find_reading(run) is not None:
        return StudyError(
            f"the test predictions of {trial} were not recorded: an older harness read the test set"
        )
    numbers = sorted(
        reading.number for reading in study.readings if CONFIRM_INFIX not in reading.run
    )
    read = [study.name] if len(numbers) < len(study.readings) else []  # the study's final model
    read += [f"{study.name}/{number}" for number in numbers[:8]]
    known = f"; it was for {', '.join(read)}" if read else ""
    if not study.has_test_set:
        known = "; [data] test = 0 held out none"
    elif not study.readings:
        known = f"; it is sealed, and is opened once with: harness test {study.name}"
    return StudyError(f"the test set was not read for {trial}{known}")


def _load_images(
    study: StudyRun, rows: npt.NDArray[Any], data_dir: Path | None
) -> tuple[npt.NDArray[Any] | None, str]:
    """Return those rows of the test set, or None and the reason."""
    try:
        prepared: PreparedDataset = prepare(
            **fill_defaults("data", study.definition["data"]), data_dir=data_dir, download=False
        )
    except DataError as error:
        return None, str(error)
    if prepared.split_hash != study.facts.get("split_hash"):
        return None, f"{prepared.location} is not what the study was trained and tested on"
    try:
        inputs = map_array(prepared.test.inputs)
    except DataError as error:
        return None, str(error)
    if inputs.ndim == 3 or inputs.shape[1:2] == (3,):
        return np.asarray(inputs[rows]), ""
    return None, "its examples are not images"
