"""`harness predict STUDY --test N`: what a model said of test images, one by one.

It was kept when the test set was opened; no model runs here and no seal is opened. Of the test
part's own files the pictures alone are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.lookup import find_trial
from harness.config.schema import fill_defaults
from harness.data.cache import map_array
from harness.data.prepare import PreparedDataset, prepare
from harness.errors import DataError, StoreError, StudyError, UserError
from harness.stats.proportions import wilson
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.tracking.types import CONFIRM_INFIX, RunRecord, StudyRun
from harness.workspace import Workspace


@dataclass(frozen=True)
class Example:
    """One test image, and what the model said of it."""

    row: int
    """Its place in the test part, from 0."""
    true: str
    predicted: str
    probability: float
    """The model's, of the predicted class."""
    image: npt.NDArray[Any] | None = None
    """uint8 as in the dataset; None where its files are not at hand."""

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
    """Some of the test images, and how many of all of them the model has right."""

    name: str
    """The trial: `STUDY/12`."""
    examples: tuple[Example, ...]
    right: int
    total: int
    part: str = "test"
    """`stand-in` where the test part is one."""
    only_wrong: bool = False
    """Whether the mistakes alone were asked for."""
    missing_images: str = ""
    """Why there are none."""

    @property
    def summary(self) -> str:
        shown = len(self.examples)
        of = f"{sum(each.is_right for each in self.examples)} of these {shown} right"
        if self.only_wrong:
            of = f"{shown} of its {self.total - self.right:,} mistakes"
        low, high = wilson(self.right, self.total)
        return (
            f"{self.name}: {of}; {self.right:,} of all {self.total:,} {self.part} images are right "
            f"({self.right / self.total:.4f}; 95 %: {low:.4f} to {high:.4f})"
        )


def read_test_predictions(
    workspace: Workspace,
    name: str,
    tracking_uri: str | None,
    count: int,
    *,
    start: int = 0,
    wrong: bool = False,
    data_dir: Path | None = None,
) -> ExamplePredictions:
    """The next `count` test images from `start` on, only the mistakes where `wrong`.

    `name` is a study, for its champion, `STUDY/12` or an MLflow run id. Raises UserError.
    """
    if count < 1:
        raise UserError(f"--test: must be at least 1, not {count}")
    tracker = workspace.open_tracker(tracking_uri, reading=True)
    study, run = find_trial(tracker, name)
    if not study.classes:
        raise UserError(
            f"{study.name} predicts {study.score.target}, a number, and has no pictures to look "
            f"at; `harness report {study.name}` shows predicted against true"
        )
    content = tracker.read_file(run.run_id, TEST_PREDICTIONS_FILE)
    if content is None:
        raise _not_read_error(study, run)
    said = TestPredictions.from_bytes(content)
    total, classes = len(said.true), study.classes
    if total and max(said.true.max(), said.predicted.max()) >= len(classes):
        raise StoreError(
            f"{TEST_PREDICTIONS_FILE} of {study.name}/{run.number} names classes that '{study.name}' has not; "
            f"`harness doctor {study.name}` says more"
        )
    if not 0 <= start < total:
        raise UserError(f"--from: the test images are 0 to {total - 1:,}, not {start}")
    is_right = said.true == said.predicted
    rows = np.arange(start, total)
    rows = (rows[~is_right[rows]] if wrong else rows)[:count]
    pictures, why_not = _read_images(study, rows, data_dir)
    examples = tuple(
        Example(
            int(row),
            classes[said.true[row]],
            classes[said.predicted[row]],
            float("nan") if said.probability is None else float(said.probability[row]),
            None if pictures is None else pictures[place],
        )
        for place, row in enumerate(rows)
    )
    seed = f" (seed {run.spec.seed})" if CONFIRM_INFIX in run.uid else ""
    named = f"{study.name}/{run.number}{seed}"
    return ExamplePredictions(
        named, examples, int(is_right.sum()), total, study.test_name, wrong, why_not
    )


def _not_read_error(study: StudyRun, run: RunRecord) -> StudyError:
    named = f"{study.name}/{run.number}"
    if study.find_reading(run) is not None:
        return StudyError(
            f"what {named} said of the test set was not kept: it was read before harness kept it"
        )
    own = sorted(reading.number for reading in study.readings if CONFIRM_INFIX not in reading.run)
    read = [study.name] if len(own) < len(study.readings) else []  # the study's own model
    read += [f"{study.name}/{number}" for number in own[:8]]
    known = f"; it was for {', '.join(read)}" if read else ""
    return StudyError(f"the test set was not read for {named}{known}")


def _read_images(
    study: StudyRun, rows: npt.NDArray[Any], data_dir: Path | None
) -> tuple[npt.NDArray[Any] | None, str]:
    """Those rows of the test part, or why not."""
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
    return None, "its examples are no pictures"
