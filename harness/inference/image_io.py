"""Picture files that a person names: found, opened, upright and without transparency."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Of all that Pillow reads those that run nothing: for EPS it starts Ghostscript."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
MAX_SIDE = 1024
"""Pixels that the longer side is reduced to: more says nothing about a few dozen."""


def find_images(given: Sequence[str]) -> list[Path]:
    """The files named, and of a folder every picture in it, by name. Raises DataError."""
    found: list[Path] = []
    for name in given:
        path = Path(name)
        try:
            if not path.is_dir():
                path.stat()
                found.append(path)
                continue
            inside = sorted(
                each
                for each in path.iterdir()
                if each.suffix.lower() in SUFFIXES and not each.name.startswith(".")
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise DataError(f"{name}: cannot be read ({why})") from None
        if not inside:
            raise DataError(
                f"{name}: there is no picture in this folder ({', '.join(SUFFIXES[:3])} ...); "
                "name one that holds some, folders within it are not searched"
            )
        found += inside
    return found


def open_image(path: Path) -> Image:
    """As RGB, upright by its EXIF data, its longer side at most LARGEST. Raises DataError."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    shown = os.fspath(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF data, palettes and the like
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as file:
                file.draft("RGB", (2 * MAX_SIDE, 2 * MAX_SIDE))  # a JPEG is decoded smaller at once
                file.load()
                picture = _remove_transparency(ImageOps.exif_transpose(file))
    except UnidentifiedImageError:
        raise DataError(
            f"{shown}: is no picture that can be read; give a {', '.join(FORMATS[:3])} or other "
            "common file (a HEIC from a phone: export it as JPEG)"
        ) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise DataError(
            f"{shown}: has more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels; make it smaller"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{shown}: cannot be read ({error.strerror})") from None
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{shown}: is cut off or damaged ({said}); get it again") from None
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    return picture


def to_grey(picture: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """[height, width], 0 to 255, as Pillow weighs the colours."""
    return np.asarray(picture.convert("L"), np.float32)


def _remove_transparency(picture: Image) -> Image:
    """RGB; what shines through is white, or black where what is drawn is light."""
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":  # 16 bits, which Pillow would clip
        values = np.asarray(picture, np.float64)
        deep = 65535 if values.max(initial=0) > 255 else 255
        picture = Image.fromarray((values * (255 / deep)).clip(0, 255).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    values = np.asarray(picture, np.float32)
    alpha = values[..., 3]
    drawn = (values[..., :3].mean(-1) * alpha).sum() / max(1.0, float(alpha.sum()))
    paper = (255, 255, 255) if drawn < 128 or alpha.min(initial=255) == 255 else (0, 0, 0)
    below = Image.new("RGBA", picture.size, paper)
    return Image.alpha_composite(below, picture).convert("RGB")
