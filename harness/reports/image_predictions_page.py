"""The page of `harness predict STUDY IMAGE... --show`: each picture, and as the network sees it."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.formatting import counted
from harness.analysis.misclassified import as_png
from harness.inference.classify_images import SHOWN_CLASSES, format_percent
from harness.inference.image_io import open_image
from harness.reports.page import Page, Section

if TYPE_CHECKING:
    from pathlib import Path

    from harness.inference.classify_images import ImagePredictions, ImagePrediction

MOST = 500
"""Pictures: so many make a page of some 10 MB."""
ORIGINAL = 240
"""Pixels of the longer side that the original is shown with."""


def report(found: ImagePredictions) -> Page:
    """The page on them; `write` or `inlined` makes the file. Raises DataError."""
    shown, total = found.predictions[:MOST], len(found.predictions)
    of = f"the first {MOST} of {total:,} pictures" if total > MOST else counted(total, "picture")
    inverted = sum(said.inverted for said in found.predictions)
    says = f"Every picture was {found.preprocessing.description}."
    if inverted:
        says += f" {inverted:,} of {total:,} were inverted."
    return Page(
        title=f"What {found.name} says",
        subtitle=f"of {of}; left as it was given, right as the network sees it",
        sections=[
            Section(
                name="seen",
                title="Picture by picture",
                says=says,
                template="seen",
                values={"each": [_values(found, said) for said in shown]},
            )
        ],
        trials={},
        selected=[],
    )


def _values(found: ImagePredictions, said: ImagePrediction) -> dict[str, Any]:
    """For templates/seen.html."""
    seen = said.input[0] if said.input.shape[0] == 1 else said.input
    most = found.preprocessing.pixels.maximum
    values = (seen * (255 / most)).round().clip(0, 255).astype(np.uint8)
    height, width = found.preprocessing.size
    return {
        "file": str(said.file).encode(errors="replace").decode(),
        "original": _original(said.file),
        "png": as_png(values, 255),
        "size": f"{width}x{height}",
        "inverted": said.inverted,
        "ranked": [
            (*each, format_percent(each[1])) for each in found.rank_classes(said)[:SHOWN_CLASSES]
        ],
    }


def _original(file: Path) -> str:
    picture = open_image(file)
    picture.thumbnail((ORIGINAL, ORIGINAL))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=80)
    return base64.b64encode(stream.getvalue()).decode()
