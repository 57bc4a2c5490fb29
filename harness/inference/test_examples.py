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
from harness.data.arrays import mapped
from harness.data.prepare import Prepared, prepare
from harness.errors import DataError, StoreError, StudyError, UserError
from harness.stats.proportions import wilson
from harness.tracking.predictions import TEST_FILE, TestPredictions
from harness.tracking.types import CONFIRMING, RunRecord, StudyRun
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
    picture: npt.NDArray[Any] | None = None
    """uint8 as in the dataset; None where its files are not at hand."""

    @property
    def right(self) -> bool:
        return self.true == self.predicted

    def to_dict(self) -> dict[str, Any]:
        return {
            "image": self.row,
            "true": self.true,
            "predicted": self.predicted,
            "probability": self.probability,
            "right": self.right,
        }


@dataclass(frozen=True)
class Predicted:
    """Some of the test images, and how many of all of them the model has right."""

    name: str
    """The trial: `STUDY/12`."""
    examples: tuple[Example, ...]
    right: int
    total: int
    part: str = "test"
    """`stand-in` where the test part is one."""
    wrong: bool = False
    """Whether the mistakes alone were asked for."""
    without_pictures: str = ""
    """Why there are none."""

    @property
    def summary(self) -> str:
        shown = len(self.examples)
        of = f"{sum(each.right for each in self.examples)} of these {shown} right"
        if self.wrong:
            of = f"{shown} of its {self.total - self.right:,} mistakes"
        low, high = wilson(self.right, self.total)
        return (
            f"{self.name}: {of}; {self.right:,} of all {self.total:,} {self.part} images are right "
            f"({self.right / self.total:.4f}; 95 %: {low:.4f} to {high:.4f})"
        )


def on_test(
    home: Workspace,
    name: str,
    tracking_uri: str | None,
    count: int,
    *,
    start: int = 0,
    wrong: bool = False,
    data_dir: Path | None = None,
) -> Predicted:
    """The next `count` test images from `start` on, only the mistakes where `wrong`.

    `name` is a study, for its champion, `STUDY/12` or an MLflow run id. Raises UserError.
    """
    if count < 1:
        raise UserError(f"--test: must be at least 1, not {count}")
    tracker = home.open_tracker(tracking_uri, reading=True)
    study, run = find_trial(tracker, name)
    if not study.classes:
        raise UserError(
            f"{study.name} predicts {study.score.target}, a number, and has no pictures to look "
            f"at; `harness report {study.name}` shows predicted against true"
        )
    content = tracker.read_file(run.run_id, TEST_FILE)
    if content is None:
        raise _not_read(study, run)
    said = TestPredictions.from_file(content)
    total, classes = len(said.true), study.classes
    if total and max(said.true.max(), said.predicted.max()) >= len(classes):
        raise StoreError(
            f"{TEST_FILE} of {study.name}/{run.number} names classes that '{study.name}' has not; "
            f"`harness doctor {study.name}` says more"
        )
    if not 0 <= start < total:
        raise UserError(f"--from: the test images are 0 to {total - 1:,}, not {start}")
    is_right = said.true == said.predicted
    rows = np.arange(start, total)
    rows = (rows[~is_right[rows]] if wrong else rows)[:count]
    pictures, why_not = _pictures(study, rows, data_dir)
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
    seed = f" (seed {run.spec.seed})" if CONFIRMING in run.uid else ""
    named = f"{study.name}/{run.number}{seed}"
    return Predicted(named, examples, int(is_right.sum()), total, study.test_name, wrong, why_not)


def _not_read(study: StudyRun, run: RunRecord) -> StudyError:
    named = f"{study.name}/{run.number}"
    if study.reading_of(run) is not None:
        return StudyError(
            f"what {named} said of the test set was not kept: it was read before harness kept it"
        )
    own = sorted(reading.number for reading in study.readings if CONFIRMING not in reading.run)
    read = [study.name] if len(own) < len(study.readings) else []  # the study's own model
    read += [f"{study.name}/{number}" for number in own[:8]]
    known = f"; it was for {', '.join(read)}" if read else ""
    return StudyError(f"the test set was not read for {named}{known}")


def _pictures(
    study: StudyRun, rows: npt.NDArray[Any], data_dir: Path | None
) -> tuple[npt.NDArray[Any] | None, str]:
    """Those rows of the test part, or why not."""
    try:
        prepared: Prepared = prepare(**study.definition["data"], data_dir=data_dir, download=False)
    except DataError as error:
        return None, str(error)
    if prepared.split_hash != study.facts.get("split_hash"):
        return None, f"{prepared.where} is not what the study was trained and tested on"
    try:
        inputs = mapped(prepared.test.inputs)
    except DataError as error:
        return None, str(error)
    if inputs.ndim == 3 or inputs.shape[1:2] == (3,):
        return np.asarray(inputs[rows]), ""
    return None, "its examples are no pictures"
