"""`harness predict STUDY IMAGE...`: a trained model's predictions for image files.

The model is loaded from the run's recorded weights; its classes and the shape of its input are in
the study's record. No dataset is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.analysis.formatting import format_count, format_file_name
from harness.errors import DataError, StudyError
from harness.inference.image_io import find_images, open_image
from harness.inference.preprocessing import Preprocessing
from harness.inference.recorded_model import RecordedModel, read_model
from harness.system.terminal import align_labels, escape
from harness.workspace import Workspace

if TYPE_CHECKING:
    pass

BATCH_SIZE = 500
"""Images in memory at once, which go through the model together."""
SHOWN_CLASSES = 3
"""How many classes are listed for each image."""
SHOWN_ERRORS = 5
"""How many images an error lists."""


@dataclass(frozen=True)
class ImagePrediction:
    """A model's prediction for one image."""

    file: Path
    input: npt.NDArray[Any]
    """[*shape] as the network gets it."""
    inverted: bool
    probabilities: npt.NDArray[np.float64]
    """[classes]; for the losses `mse` and `bce` they need not add up to 1."""


@dataclass(frozen=True)
class ImagePredictions:
    """A model's predictions for images."""

    name: str
    """The trial: `STUDY/12`."""
    run_id: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    predictions: tuple[ImagePrediction, ...]
    errors: tuple[str, ...] = ()
    """One line for each image without a prediction; it names the file."""

    @property
    def error_summary(self) -> str:
        """All errors on one line; empty if there are none."""
        return summarize_errors(self.errors, len(self.errors) + len(self.predictions))

    def rank_classes(self, prediction: ImagePrediction) -> list[tuple[str, float]]:
        """Return every class with its probability, the most probable first."""
        probabilities = prediction.probabilities
        order = np.argsort(-probabilities, kind="stable")
        return [(self.classes[index], float(probabilities[index])) for index in order]

    def text(self, width: int | None = None) -> str:
        """Format a table of files and their most probable classes, and the preprocessing.

        The table is never wrapped, what follows it is wrapped to `width` columns.
        """
        rows = [["image", "class", *[""] * (2 * min(SHOWN_CLASSES, len(self.classes)) - 1)]]
        rows[0][3] = "or"
        for prediction in self.predictions:
            ranked = self.rank_classes(prediction)[:SHOWN_CLASSES]
            cells = [cell for name, share in ranked for cell in (name, format_percent(share))]
            rows.append([escape(cell) for cell in (str(prediction.file), *cells)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for row in rows:
            cells = [  # names to the left, figures to the right
                f"{cell:>{width}}" if index and index % 2 == 0 else f"{cell:<{width}}"
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        seen = f"each image was {self.preprocessing.description}"
        notes = align_labels([("model", self.name), ("input", seen)], width)
        return "\n".join([*lines, "", notes])

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "run_id": self.run_id,
            "classes": list(self.classes),
            "preparation": self.preprocessing.kind,
            "prepared": self.preprocessing.description,
            "images": [
                {
                    "file": str(prediction.file),
                    "class": (first := self.rank_classes(prediction)[0])[0],
                    "probability": first[1],
                    "probabilities": dict(
                        zip(self.classes, prediction.probabilities.tolist(), strict=True)
                    ),
                    "inverted": prediction.inverted,
                }
                for prediction in self.predictions
            ],
            "unread": list(self.errors),
        }


def summarize_errors(errors: Sequence[str], total: int) -> str:
    """Return the errors about some of `total` images on one line; empty without any."""
    count = len(errors)
    if count < 2 and total == count:
        return "".join(errors)
    more = f"; and {count - SHOWN_ERRORS} more" if count > SHOWN_ERRORS else ""
    listed = "; ".join(errors[:SHOWN_ERRORS])
    return f"{count:,} of {format_count(total, 'image')}: {listed}{more}" if count else ""


def classify_images(
    workspace: Workspace,
    name: str,
    images: Sequence[str],
    tracking_uri: str | None,
    *,
    as_is: bool = False,
    handwriting: bool = False,
) -> ImagePredictions:
    """Predict the class of each image file, and of those in each folder.

    An image that cannot be read does not stop the others; see `ImagePredictions.errors`.

    Args:
        name: A study, for its champion; `STUDY/12`; an MLflow run ID; or a registered model as
            `models:/NAME@champion` or `models:/NAME/3`; or an ensemble, as `STUDY@ensemble`.
        images: Files and folders.
        as_is: Only resize the images.
        handwriting: Normalize them as MNIST did, for any dataset.

    Raises UserError, also if no image can be read.
    """
    files, errors = find_images(images)
    if not files:
        raise DataError(summarize_errors(errors, len(errors)))
    tracker = workspace.open_tracker(tracking_uri, reading=True)
    recorded = read_model(tracker, name)
    study = recorded.study
    dataset = str(study.definition.get("data", {}).get("name", "no data"))
    if len(study.classes) < 2:
        raise StudyError(
            f"'{study.name}' predicts a number, and this command classifies images; to "
            "predict numbers, load the model (the report shows the code)"
        )
    preprocessing = Preprocessing.of(study.name, study.facts, dataset)
    preprocessing = preprocessing.with_options(as_is=as_is, handwriting=handwriting)
    predictions: list[ImagePrediction] = []
    for start in range(0, len(files), BATCH_SIZE):
        batch: list[tuple[Path, npt.NDArray[Any], bool]] = []
        for file in files[start : start + BATCH_SIZE]:
            try:
                batch.append((file, *_preprocess(preprocessing, file)))
            except DataError as error:
                errors.append(str(error))
        if batch:
            inputs = np.stack([values for _, values, _ in batch])
            rows = _predict(recorded, inputs)
            predictions += [ImagePrediction(*it, row) for it, row in zip(batch, rows, strict=True)]
    result = ImagePredictions(
        name=recorded.name,
        run_id=recorded.run_id,
        classes=study.classes,
        preprocessing=preprocessing,
        predictions=tuple(predictions),
        errors=tuple(errors),
    )
    if not predictions:
        raise DataError(result.error_summary)
    return result


def default_page_path(
    workspace: Workspace, predictions: ImagePredictions, tracking_uri: str | None
) -> Path:
    """Return the path of the page of predictions, if the user gives none."""
    folder = workspace.report_path("predict", workspace.resolve_tracking_uri(tracking_uri)).parent
    return folder / f"{format_file_name(predictions.name)}.html"


def _preprocess(preprocessing: Preprocessing, file: Path) -> tuple[npt.NDArray[Any], bool]:
    result = preprocessing.apply(open_image(file, preprocessing.ranges))
    if result is None:
        raise DataError(
            f"{file}: nothing is drawn on it that stands out from its background; --as-is takes "
            "it as it is"
        )
    return result


def _predict(model: RecordedModel, inputs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the probabilities [N, classes] for inputs [N, *shape]."""
    import torch

    from harness.engine.losses import compute_probabilities

    with torch.inference_mode():
        result = compute_probabilities(model.loss, model.module(torch.from_numpy(inputs)))
    return result.double().numpy()


def format_percent(share: float) -> str:
    """Format as `99.8 %`; as 0 or 100 only if it is exactly that."""
    text = f"{100 * share:.1f}"
    if text == "0.0" and share > 0:
        text = "<0.1"
    if text == "100.0" and share < 1:
        text = ">99.9"
    return f"{text} %"
