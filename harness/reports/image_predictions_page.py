"""The page of `harness predict STUDY IMAGE... --show`: each image, its input and its prediction."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.formatting import format_count
from harness.analysis.misclassified import encode_png
from harness.data.image_values import ValueRanges
from harness.inference.classify_images import SHOWN_CLASSES, format_percent
from harness.inference.image_io import open_image
from harness.reports.page import Page, Section

if TYPE_CHECKING:
    from pathlib import Path

    from harness.inference.classify_images import ImagePrediction, ImagePredictions

MAX_IMAGES = 500
"""Images on a page; these take about 10 MB."""
ORIGINAL_SIZE = 240
"""The longer side of the original, in pixels."""


def build_predictions_page(predictions: ImagePredictions) -> Page:
    """Return the page. Raises DataError if an image cannot be read."""
    total = len(predictions.predictions)
    count = format_count(total, "image")
    if total > MAX_IMAGES:
        count = f"the first {MAX_IMAGES} of {total:,} images"
    inverted = sum(each.inverted for each in predictions.predictions)
    text = f"Every image was {predictions.preprocessing.description}."
    if inverted:
        text += f" {inverted:,} of {total:,} were inverted."
    return Page(
        title=f"Predictions of {predictions.name}",
        subtitle=f"{count}; left the original, right the network's input",
        sections=[
            Section(
                name="seen",
                title="Predictions by image",
                text=text,
                template="image_predictions",
                values={
                    "images": [
                        _build_template_values(predictions, each)
                        for each in predictions.predictions[:MAX_IMAGES]
                    ]
                },
            )
        ],
        trials={},
        selected=[],
    )


def _build_template_values(
    predictions: ImagePredictions, prediction: ImagePrediction
) -> dict[str, Any]:
    """Return one image's values for templates/image_predictions.html."""
    pixels = prediction.input[0] if prediction.input.shape[0] == 1 else prediction.input
    maximum = predictions.preprocessing.pixels.maximum
    values = (pixels * (255 / maximum)).round().clip(0, 255).astype(np.uint8)
    height, width = predictions.preprocessing.size
    return {
        "file": str(prediction.file).encode(errors="replace").decode(),
        "original": _encode_original(prediction.file, predictions.preprocessing.ranges),
        "png": encode_png(values, 255),
        "size": f"{width}x{height}",
        "inverted": prediction.inverted,
        "ranked": [
            (*each, format_percent(each[1]))
            for each in predictions.rank_classes(prediction)[:SHOWN_CLASSES]
        ],
    }


def _encode_original(file: Path, ranges: ValueRanges) -> str:
    original = open_image(file, ranges)
    original.thumbnail((ORIGINAL_SIZE, ORIGINAL_SIZE))
    stream = io.BytesIO()
    original.save(stream, "JPEG", quality=80)
    return base64.b64encode(stream.getvalue()).decode()
