"""Find and open image files for `harness predict`: upright, as RGB, without transparency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.data.image_files import (
    SUFFIXES,
    is_hidden,
    is_image,
    name_errors,
    open_file,
    quiet_pillow,
)
from harness.data.image_values import ValueRanges, decode_image, measure_image
from harness.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE = 1024
"""Pixels that the longer side is reduced to: inputs of a network have a few dozen."""


def find_images(names: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the named files and every image of each named folder, and an error for each name
    that has none. A named file may turn out to be unreadable when it is opened."""
    files: list[Path] = []
    errors: list[str] = []
    for name in names:
        path = Path(name)
        try:
            if not path.is_dir():
                path.stat()
                files.append(path)
                continue
            images = [
                file
                for file in sorted(path.iterdir())
                if not is_hidden(file.name) and file.is_file() and is_image(file)
            ]
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            errors.append(f"{name}: cannot be read ({reason})")
            continue
        except DataError as error:
            errors.append(str(error))
            continue
        files += images
        if not images:
            errors.append(
                f"{name}: there is no image in this folder ({', '.join(SUFFIXES[:3])} ...); "
                "give one that has some; its subfolders are not searched"
            )
    return files, errors


def open_image(path: Path, ranges: ValueRanges | None = None) -> Image:
    """Open as RGB, turned by its EXIF data, the longer side at most MAX_SIDE. Raises DataError.

    `ranges`: how the training images were scaled; what it lacks is measured on this image.
    """
    from PIL import Image

    with quiet_pillow(), open_file(path) as file, name_errors(path):
        file.draft("RGB", (2 * MAX_SIDE, 2 * MAX_SIDE))  # decodes a JPEG at a smaller size
        file.load()
        image = decode_image(file, (ranges or ValueRanges()).fill(measure_image(file)))
        image = image.convert("RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    return image


def to_grey(image: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the brightness [height, width], 0 to 255, with Pillow's weights of the colours."""
    return np.asarray(image.convert("L"), np.float32)
