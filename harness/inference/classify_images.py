"""`harness predict STUDY IMAGE...`: what a trained model says of pictures of one's own.

The model comes from the weights that the record keeps, its classes and the shape of its input from
the study's record; no dataset is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.analysis.formatting import aligned
from harness.analysis.lookup import find_trial
from harness.errors import DataError, StudyError
from harness.inference.image_io import find_images, open_image
from harness.inference.preprocessing import Preprocessing
from harness.system.terminal import escape
from harness.tracking.raw_types import WEIGHTS_FILE
from harness.tracking.types import CONFIRM_INFIX, RunRecord, StudyRun
from harness.workspace import Workspace

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

BATCH_SIZE = 500
"""Pictures that are in memory and go through the model at once."""
SHOWN_CLASSES = 3
"""Classes that are named of each picture."""
SHOWN_ERRORS = 5
"""Pictures that an error names."""


@dataclass(frozen=True)
class ImagePrediction:
    """One picture, and what the model says of it."""

    file: Path
    input: npt.NDArray[Any]
    """[*shape] as the network gets it."""
    inverted: bool
    probabilities: npt.NDArray[np.float64]
    """[classes]; of the losses `mse` and `bce` each class's own, which need not add up to 1."""


@dataclass(frozen=True)
class ImagePredictions:
    """What a model says of pictures."""

    name: str
    """The trial: `STUDY/12`."""
    run_id: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    predictions: tuple[ImagePrediction, ...]
    unreadable: tuple[str, ...] = ()
    """Why one picture or another says nothing: a line each, which names its file."""

    @property
    def error_summary(self) -> str:
        """What keeps some pictures from being told, on one line; empty where nothing does."""
        count, total = len(self.unreadable), len(self.unreadable) + len(self.predictions)
        if count < 2 and total == count:
            return "".join(self.unreadable)
        more = f"; and {count - SHOWN_ERRORS} more" if count > SHOWN_ERRORS else ""
        named = "; ".join(self.unreadable[:SHOWN_ERRORS])
        return f"{count:,} of {total:,} pictures: {named}{more}" if count else ""

    def rank_classes(self, said: ImagePrediction) -> list[tuple[str, float]]:
        """Every class with its probability, the likeliest first."""
        order = np.argsort(-said.probabilities, kind="stable")
        return [(self.classes[place], float(said.probabilities[place])) for place in order]

    def text(self) -> str:
        """A table: the file, the class and its probability, the next ones; and how it was seen."""
        rows = [["picture", "class", *[""] * (2 * min(SHOWN_CLASSES, len(self.classes)) - 1)]]
        rows[0][3] = "or"
        for said in self.predictions:
            ranked = self.rank_classes(said)[:SHOWN_CLASSES]
            cells = [cell for name, share in ranked for cell in (name, format_percent(share))]
            rows.append([escape(cell) for cell in (str(said.file), *cells)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for row in rows:
            cells = [  # names to the left, figures to the right
                f"{cell:>{width}}" if place and place % 2 == 0 else f"{cell:<{width}}"
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        says = f"each picture was {self.preprocessing.description}"
        return "\n".join([*lines, "", *aligned([("model", self.name), ("seen", says)]).split("\n")])

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "run_id": self.run_id,
            "classes": list(self.classes),
            "preparation": self.preprocessing.kind,
            "prepared": self.preprocessing.description,
            "images": [
                {
                    "file": str(said.file),
                    "class": (first := self.rank_classes(said)[0])[0],
                    "probability": first[1],
                    "probabilities": dict(
                        zip(self.classes, said.probabilities.tolist(), strict=True)
                    ),
                    "inverted": said.inverted,
                }
                for said in self.predictions
            ],
            "unread": list(self.unreadable),
        }


def classify_images(
    workspace: Workspace,
    name: str,
    images: Sequence[str],
    tracking_uri: str | None,
    *,
    as_is: bool = False,
    handwriting: bool = False,
) -> ImagePredictions:
    """Of each picture file, and of those in each folder, what the model says; one that cannot be
    read keeps no other from it, see `Classified.complaint`.

    `name` is a study, for its champion, `STUDY/12`, an MLflow run id, or a registered model as
    `models:/NAME@champion` or `models:/NAME/3`. Raises UserError.
    """
    files = find_images(images)
    tracker = workspace.open_tracker(tracking_uri, reading=True)
    study, run = find_trial(tracker, name)
    named = f"{study.name}/{run.number}"
    dataset = str(study.definition.get("data", {}).get("name", "no data"))
    if len(study.classes) < 2:
        raise StudyError(f"'{study.name}' foretells a number and tells no classes apart")
    preparation = Preprocessing.of(study.name, study.facts, dataset)
    preparation = preparation.with_options(as_is=as_is, handwriting=handwriting)
    weights = tracker.read_file(run.run_id, WEIGHTS_FILE)
    if weights is None:
        raise _missing_weights_error(tracker, study, run)
    said: list[ImagePrediction] = []
    unread: list[str] = []
    for start in range(0, len(files), BATCH_SIZE):
        seen: list[tuple[Path, npt.NDArray[Any], bool]] = []
        for file in files[start : start + BATCH_SIZE]:
            try:
                seen.append((file, *_preprocess(preparation, file)))
            except DataError as error:
                unread.append(str(error))
        if not seen:
            continue
        pictures = np.stack([picture for _, picture, _ in seen])
        found = _predict(run, len(study.classes), weights, pictures)
        for prepared, each in zip(seen, found, strict=True):
            said.append(ImagePrediction(*prepared, each))
    seed = f" (seed {run.spec.seed})" if CONFIRM_INFIX in run.uid else ""
    classified = ImagePredictions(
        named + seed, run.run_id, study.classes, preparation, tuple(said), tuple(unread)
    )
    if not said:
        raise DataError(classified.error_summary)
    return classified


def default_page_path(
    workspace: Workspace, found: ImagePredictions, tracking_uri: str | None
) -> Path:
    """Where the page on them lies, where no other is asked for."""
    name = "".join(c if c.isalnum() or c in "-._" else "-" for c in found.name)
    folder = workspace.report_path("predict", workspace.resolve_tracking_uri(tracking_uri)).parent
    return folder / f"{name}.html"


def _preprocess(preparation: Preprocessing, file: Path) -> tuple[npt.NDArray[Any], bool]:
    found = preparation.apply(open_image(file))
    if found is None:
        raise DataError(
            f"{file}: nothing is drawn on it that stands out from its background; --as-is takes "
            "it as it is"
        )
    return found


def _predict(
    run: RunRecord, classes: int, weights: bytes, seen: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """[N, classes] of pictures [N, *shape]."""
    import torch

    from harness.engine.losses import compute_probabilities
    from harness.models.mlp import load_model

    model = load_model(run.spec, classes, weights)
    with torch.inference_mode():
        found = compute_probabilities(run.spec.loss, model(torch.from_numpy(seen)))
    return found.double().numpy()


def _missing_weights_error(tracker: Tracker, study: StudyRun, run: RunRecord) -> StudyError:
    found = tracker.read_files([each.run_id for each in study.trials], WEIGHTS_FILE)
    kept = [str(each.number) for each in study.trials if each.run_id in found]
    known = f"; they are of {', '.join(kept[:8])}" if kept else ""
    return StudyError(f"the weights of {study.name}/{run.number} were not kept{known}")


def format_percent(share: float) -> str:
    """`99.8 %`; neither 0 nor 100 unless it is."""
    shown = f"{100 * share:.1f}"
    if shown == "0.0" and share > 0:
        shown = "<0.1"
    if shown == "100.0" and share < 1:
        shown = ">99.9"
    return f"{shown} %"
