"""Find and open image files: upright, as RGB, without transparency."""

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
"""The formats that Pillow reads without starting a program; for EPS it starts Ghostscript."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
MAX_SIDE = 1024
"""Pixels that the longer side is reduced to: inputs of a network have a few dozen."""


def find_images(names: Sequence[str]) -> list[Path]:
    """Return the named files, and every image of each named folder, sorted. Raises DataError."""
    files: list[Path] = []
    for name in names:
        path = Path(name)
        try:
            if not path.is_dir():
                path.stat()
                files.append(path)
                continue
            images = sorted(
                file
                for file in path.iterdir()
                if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise DataError(f"{name}: cannot be read ({reason})") from None
        if not images:
            raise DataError(
                f"{name}: there is no picture in this folder ({', '.join(SUFFIXES[:3])} ...); "
                "give one that has some; its subfolders are not searched"
            )
        files += images
    return files


def open_image(path: Path) -> Image:
    """Open as RGB, turned by its EXIF data, the longer side at most MAX_SIDE. Raises DataError."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = os.fspath(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd EXIF data, palettes and the like
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as file:
                file.draft("RGB", (2 * MAX_SIDE, 2 * MAX_SIDE))  # decodes a JPEG at a smaller size
                file.load()
                image = _remove_transparency(ImageOps.exif_transpose(file))
    except UnidentifiedImageError:
        raise DataError(
            f"{name}: not a readable picture; give a {', '.join(FORMATS[:3])} or other "
            "common file (a HEIC from a phone: export it as JPEG)"
        ) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise DataError(
            f"{name}: has more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels; make it smaller"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{name}: cannot be read ({error.strerror})") from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: is cut off or damaged ({reason}); get it again") from None
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    return image


def to_grey(image: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the brightness [height, width], 0 to 255, with Pillow's weights of the colours."""
    return np.asarray(image.convert("L"), np.float32)


def _remove_transparency(image: Image) -> Image:
    """Convert to RGB on a white background, or on black if what is drawn is light."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":  # 16 bits, which Pillow would clip
        values = np.asarray(image, np.float64)
        maximum = 65535 if values.max(initial=0) > 255 else 255
        image = Image.fromarray((values * (255 / maximum)).clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    values = np.asarray(image, np.float32)
    alpha = values[..., 3]
    brightness = (values[..., :3].mean(-1) * alpha).sum() / max(1.0, float(alpha.sum()))
    is_white = brightness < 128 or alpha.min(initial=255) == 255
    background = Image.new("RGBA", image.size, (255, 255, 255) if is_white else (0, 0, 0))
    return Image.alpha_composite(background, image).convert("RGB")
