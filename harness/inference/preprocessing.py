"""Turn an image of any size into an input like those that a network was trained on.

    handwriting  normalized as MNIST or NIST did, by `harness.inference.digit_normalization`
    fitted       resized; inverted if the dataset is light on dark and the image is dark on light
    as-is        resized and nothing else

The study's record has what is needed about its dataset: the shape of an example, its values, and
the brightness of the training images' border. No data is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from harness.data.builtin import DATASETS
from harness.data.cache import map_array
from harness.data.image_values import ValueRanges
from harness.data.types import DigitStyle
from harness.errors import StudyError
from harness.inference.image_io import to_grey

if TYPE_CHECKING:
    from PIL.Image import Image

    from harness.data.training_files import TrainingFiles

Kind = Literal["handwriting", "fitted", "as-is"]
SAMPLE = 1000
"""How many training images the statistics are computed from."""
DARK, LIGHT = 0.25, 0.6
"""A background is dark below the first and light above the second, as fractions of the maximum."""


@dataclass(frozen=True)
class PixelStatistics:
    """The values of the training images, and the brightness of their border."""

    minimum: float
    maximum: float
    border: float
    """The mean of their outermost pixels, from 0 for `minimum` to 1 for `maximum`."""

    @classmethod
    def of(cls, training: TrainingFiles) -> PixelStatistics | None:
        """Compute the statistics; None if the examples are not images."""
        if not is_image_shape(training.shape):
            return None
        rows = np.sort(map_array(training.train_rows)[:SAMPLE])
        images = np.asarray(map_array(training.inputs)[rows], np.float64)
        minimum, maximum = min(0.0, float(images.min())), float(images.max())
        if maximum > 127:
            maximum = 255.0
        edges = (images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1])
        mean = float(np.mean([edge.mean() for edge in edges]))
        return cls(minimum, maximum, (mean - minimum) / max(1e-6, maximum - minimum))

    def __str__(self) -> str:
        return f"{self.minimum:g} to {self.maximum:g}, border {self.border:.2f}"

    @classmethod
    def read(cls, facts: Mapping[str, str], dataset: str) -> PixelStatistics:
        """Read the statistics from a study's record; older records do not have them."""
        match = re.fullmatch(r"(\S+) to (\S+), border (\S+)", facts.get("pixels", ""))
        if match:
            return cls(*map(float, match.groups()))
        builtin = DATASETS.get(dataset)
        return cls(0.0, builtin.brightest, builtin.border) if builtin else cls(0.0, 255.0, 0.0)


@dataclass(frozen=True)
class Preprocessing:
    """How images are turned into inputs of one study's networks."""

    kind: Kind
    shape: tuple[int, ...]
    """[height, width] if the dataset is grey, else [3, height, width]."""
    dtype: str
    pixels: PixelStatistics
    style: DigitStyle = "mnist"
    keeps_aspect: bool = False
    """Whether an image is padded to the dataset's aspect, not stretched to it."""
    ranges: ValueRanges = field(default_factory=ValueRanges)
    """How the training images of more than 8 bits were scaled."""

    @classmethod
    def of(cls, name: str, facts: Mapping[str, str], dataset: str) -> Preprocessing:
        """Return the preprocessing for the study `name`, by its record.

        Raises StudyError if the study was not trained on images.
        """
        match = re.fullmatch(r"(\w+) \[([\d, ]+)\]", facts.get("input", ""))
        if match is None:
            raise StudyError(f"the record of '{name}' lacks the shape of its examples")
        shape = tuple(map(int, match[2].split(",")))
        if not is_image_shape(shape):
            numbers = " x ".join(map(str, shape))
            raise StudyError(
                f"'{name}' was trained on {dataset}, whose examples are {numbers} numbers, and not "
                "on images; to predict new examples, load the model (the report shows the code)"
            )
        pixels = PixelStatistics.read(facts, dataset)
        if pixels.minimum < 0:
            raise StudyError(
                f"'{name}' was trained on images of values from {pixels.minimum:g} to "
                f"{pixels.maximum:g}: the record does not have how to scale an image to them"
            )
        builtin = DATASETS.get(dataset)
        style = builtin.digit_style if builtin else None
        is_grey = len(shape) == 2 or shape[0] == 1
        return cls(
            kind="handwriting" if style and is_grey else "fitted",
            shape=shape,
            dtype=match[1],
            pixels=pixels,
            style=style or "mnist",
            keeps_aspect=builtin is not None and builtin.keeps_aspect,
            ranges=ValueRanges.read(facts.get("values", "")),
        )

    def with_options(self, *, as_is: bool, handwriting: bool) -> Preprocessing:
        """Return the preprocessing with the user's options --as-is and --handwriting."""
        if not as_is and not handwriting:
            return self
        return replace(self, kind="as-is" if as_is else "handwriting")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[-2], self.shape[-1]

    @property
    def description(self) -> str:
        """What is done to every image, for people."""
        height, width = self.size
        size = f"{width}x{height}"
        if self.kind == "as-is":
            return f"resized to {size} and nothing else (--as-is)"
        if self.kind == "handwriting" and self.style == "mnist":
            box = round(min(self.size) * 20 / 28)
            return (
                "prepared as MNIST was: light on black, the box around what is drawn scaled to "
                f"{box}x{box}, its centre of mass in the middle of {size}"
            )
        if self.kind == "handwriting":
            return (
                "prepared as NIST's forms were: light on black, upright, the box around what is "
                f"drawn scaled to the full height of {size}, as much ink as the dataset has"
            )
        how = "padded to keep its shape" if self.keeps_aspect else "stretched"
        dark = "; inverted if its background is light" if self._is_light_on_dark else ""
        colour = "grey" if self._is_grey else "in colour"
        return f"resized to {size} unless it has that size ({how}), {colour}{dark}"

    def apply(self, image: Image) -> tuple[npt.NDArray[Any], bool] | None:
        """Return the input [*shape] of `dtype`, and whether it was inverted.

        None if nothing is drawn on the image.
        """
        if self.kind == "handwriting":
            return self._normalize_handwriting(image)
        from PIL import Image

        is_light = _border_brightness(to_grey(image)) > LIGHT * 255
        is_inverted = self.kind == "fitted" and self._is_light_on_dark and is_light
        if self.kind == "fitted" and self.keeps_aspect:
            image = _pad_to_aspect(image, self.size)
        height, width = self.size
        resized = image.convert("L" if self._is_grey else "RGB").resize(
            (width, height), Image.Resampling.BILINEAR
        )
        brightness: npt.NDArray[Any] = np.asarray(resized, np.float32) / 255
        brightness = 1 - brightness if is_inverted else brightness
        if not self._is_grey:
            brightness = brightness.transpose(2, 0, 1)
        return self._to_values(brightness.reshape(self.shape)), is_inverted

    def _normalize_handwriting(self, image: Image) -> tuple[npt.NDArray[Any], bool] | None:
        from harness.inference.digit_normalization import normalize_digit

        normalized = normalize_digit(to_grey(image), self.size, self.style)
        if normalized is None:
            return None
        brightness, is_inverted = normalized
        if self.pixels.border > LIGHT:  # the dataset is dark on light
            brightness, is_inverted = 1 - brightness, not is_inverted
        return self._to_values(np.broadcast_to(brightness, self.shape)), is_inverted

    @property
    def _is_grey(self) -> bool:
        return len(self.shape) == 2 or self.shape[0] == 1

    @property
    def _is_light_on_dark(self) -> bool:
        """Whether the dataset has grey images with a dark background."""
        return self._is_grey and self.pixels.border < DARK

    def _to_values(self, brightness: npt.NDArray[Any]) -> npt.NDArray[Any]:
        values = brightness * self.pixels.maximum
        return (values.round() if self.dtype == "uint8" else values).astype(self.dtype)


def is_image_shape(shape: tuple[int, ...]) -> bool:
    """Whether it is [height, width], or [1 or 3, height, width]."""
    return len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))


def _border_brightness(grey: npt.NDArray[np.float32]) -> float:
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))


def _pad_to_aspect(image: Image, size: tuple[int, int]) -> Image:
    """Pad to the aspect of `size` with the colour of the image's border."""
    from PIL import Image

    values = np.asarray(image)
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    colour = tuple(int(value) for value in np.median(border, axis=0))
    height, width = size
    scale = max(image.width / width, image.height / height)
    padded_size = round(width * scale), round(height * scale)
    padded = Image.new("RGB", padded_size, colour)
    corner = (padded_size[0] - image.width) // 2, (padded_size[1] - image.height) // 2
    padded.paste(image, corner)
    return padded
