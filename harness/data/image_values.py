"""Decode images to 8 bits a channel: the one place for training data and `harness predict`.

An image becomes upright, grey or RGB, on an opaque background. An animation's first frame is used.
Images of more than 8 bits are scaled by `ValueRanges`, which are measured over all images of a
dataset, so that equal values stay equal. The study's record keeps them for `harness predict`.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.data.image_files import ORIENTATION, name_errors, open_file, quiet_pillow

if TYPE_CHECKING:
    from PIL.Image import Image

BITS = (8, 10, 12, 14, 16, 24, 31)
"""The depths of integer images; the smallest that holds all values is used."""
FLOAT_RANGES = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0), (0.0, 65535.0))
"""The usual ranges of images of floats; the first that holds all values is used."""
LIGHT_INK = 128
"""What is drawn on a transparent background is light if its mean brightness is this or more."""
PHOTOMETRIC = 262
"""The TIFF tag; 0 means that the smallest value is white."""


@dataclass(frozen=True)
class ValueRanges:
    """How the values of a dataset's images become 0 to 255, where they do not have 8 bits."""

    integers: tuple[float, float] | None = None
    """The smallest and largest value of integers of more than 8 bits."""
    floats: tuple[float, float] | None = None
    ink: tuple[float, float] = (0.0, 0.0)
    """The summed brightness of what is drawn on a transparent background, and its area."""

    def __or__(self, other: ValueRanges) -> ValueRanges:
        """Return the ranges of two sets of images together."""
        return ValueRanges(
            _join(self.integers, other.integers),
            _join(self.floats, other.floats),
            (self.ink[0] + other.ink[0], self.ink[1] + other.ink[1]),
        )

    def fill(self, other: ValueRanges) -> ValueRanges:
        """Return these ranges with those of `other` where these have none."""
        ink = self.ink if self.ink[1] else other.ink
        return ValueRanges(self.integers or other.integers, self.floats or other.floats, ink)

    @property
    def integer_range(self) -> tuple[float, float]:
        """The integers that become 0 and 255."""
        low, high = self.integers or (0, 65535)
        if low < 0:
            return low, high
        return 0.0, float(next(2**bits - 1 for bits in BITS if high <= 2**bits - 1))

    @property
    def float_range(self) -> tuple[float, float]:
        """The floats that become 0 and 255."""
        low, high = self.floats or (0, 1)
        usual = (each for each in FLOAT_RANGES if each[0] <= low and high <= each[1])
        return next(usual, (low, high))

    @property
    def background(self) -> str:
        """The colour behind transparent images: white, or black if what is drawn is light."""
        brightness, area = self.ink
        return "black" if brightness >= LIGHT_INK * area > 0 else "white"

    @property
    def descriptions(self) -> tuple[str, ...]:
        """What is not 8 bits and opaque, for people and for the record: `integers 0 to 4095`."""
        parts = []
        if self.integers:
            parts.append("integers {:.17g} to {:.17g}".format(*self.integer_range))
        if self.floats:
            parts.append("floats {:.17g} to {:.17g}".format(*self.float_range))
        if self.ink[1]:
            parts.append(f"transparent on {self.background}")
        return tuple(parts)

    @classmethod
    def read(cls, description: str) -> ValueRanges:
        """Return the ranges of recorded descriptions, joined."""
        matches = re.findall(r"(integers|floats) (\S+) to ([^\s,]+)", description)
        known = {name: (float(low), float(high)) for name, low, high in matches}
        has_ink, is_light = "transparent on" in description, "transparent on black" in description
        ink = (255.0 * is_light, 1.0 * has_ink)
        return cls(known.get("integers"), known.get("floats"), ink)


def _join(
    one: tuple[float, float] | None, other: tuple[float, float] | None
) -> tuple[float, float] | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def measure_ranges(files: Sequence[Path]) -> ValueRanges:
    """Return the ranges of these images; only unusual ones are decoded. Raises DataError."""
    with quiet_pillow(), ThreadPoolExecutor() as pool:
        return functools.reduce(operator.or_, pool.map(_measure_file, files), ValueRanges())


def _measure_file(file: Path) -> ValueRanges:
    with open_file(file) as image, name_errors(file):
        return measure_image(image)


def measure_image(image: Image) -> ValueRanges:
    """Return the ranges of one opened image. Raises ValueError for values that are not finite."""
    if is_deep(image):
        values = _read_deep(image)
        extent = (float(values.min()), float(values.max()))
        return ValueRanges(floats=extent) if image.mode == "F" else ValueRanges(integers=extent)
    if image.has_transparency_data:
        values = np.asarray(_to_rgba(image), np.float64)
        alpha = values[..., 3]
        if alpha.min() < 255:
            brightness = float((values[..., :3].mean(-1) * alpha).sum())
            return ValueRanges(ink=(brightness, float(alpha.sum())))
    return ValueRanges()


def is_deep(image: Image) -> bool:
    """Whether an image has integers of more than 8 bits, or floats."""
    return image.mode == "F" or image.mode.startswith("I")


def decode_image(image: Image, ranges: ValueRanges) -> Image:
    """Return an opened image upright, in mode L or RGB, on an opaque background.

    Integers and floats are scaled by `ranges`; values outside them are clipped.
    """
    from PIL import Image, ImageOps

    if is_deep(image):
        low, high = ranges.float_range if image.mode == "F" else ranges.integer_range
        values = _read_deep(image)
        if image.mode != "F" and low == 0:
            values = np.floor(values * 256 / (high + 1))  # the 8 highest bits, as libpng
        else:
            values = np.round((values - low) * (255 / ((high - low) or 1.0)))
        scaled = Image.fromarray(values.clip(0, 255).astype(np.uint8))
        scaled.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
        return ImageOps.exif_transpose(scaled)
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        drawn = _to_rgba(upright)
        background = Image.new("RGBA", drawn.size, ranges.background)
        return Image.alpha_composite(background, drawn).convert("RGB")
    return upright.convert("L" if upright.mode in ("1", "L") else "RGB")


def _read_deep(image: Image) -> npt.NDArray[np.float64]:
    """Return the values [H, W] of integers or floats. Raises ValueError if one is not finite."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it has values that are not finite")
    tags: Any = getattr(image, "tag_v2", None) or {}
    is_inverted = tags.get(PHOTOMETRIC) == 0 and image.mode.startswith("I;16")
    return 65535 - values if is_inverted else values


def _to_rgba(image: Image) -> Image:
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
