"""How a picture of any size becomes what a network was trained on.

    handwriting  as MNIST or NIST prepared it, by `harness.inference.digit_normalization`
    fitted       scaled to the set's size; light on dark where the set is and the picture is not
    as-is        scaled and nothing else

What the set is like stands in the study's record: the shape of an example, its values and how
bright the border of the training part's pictures is. No data is read for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from harness.data.cache import map_array
from harness.errors import StudyError
from harness.inference.digit_normalization import normalize_digit
from harness.inference.image_io import to_grey

if TYPE_CHECKING:
    from PIL.Image import Image

    from harness.data.prepare import TrainingFiles

Kind = Literal["handwriting", "fitted", "as-is"]
STYLES: dict[str, Style] = {"mnist": "mnist", "digits": "nist"}
"""The sets of handwriting that are known by name."""
PADDED = ("fashion-mnist", "cifar10")
"""Sets whose pictures were not stretched when they were made square."""
SAMPLE = 1000
"""So many of the training part tell what all are like."""
DARK, LIGHT = 0.25, 0.6
"""A background is dark below this share of the brightest value, and light above."""


@dataclass(frozen=True)
class PixelStatistics:
    """What the training part's pictures are like."""

    minimum: float
    maximum: float
    border: float
    """The mean of their outermost pixels, 0 at `least` to 1 at `most`."""

    @classmethod
    def of(cls, training: TrainingFiles) -> PixelStatistics | None:
        """None for what is no picture."""
        if not is_image_shape(training.shape):
            return None
        rows = np.sort(map_array(training.train_rows)[:SAMPLE])
        shown = np.asarray(map_array(training.inputs)[rows], np.float64)
        least, most = min(0.0, float(shown.min())), float(shown.max())
        if most > 127:
            most = 255.0
        edges = (shown[..., 0, :], shown[..., -1, :], shown[..., 0], shown[..., -1])
        mean = float(np.mean([edge.mean() for edge in edges]))
        return cls(least, most, (mean - least) / max(1e-6, most - least))

    def __str__(self) -> str:
        return f"{self.minimum:g} to {self.maximum:g}, border {self.border:.2f}"

    @classmethod
    def read(cls, facts: Mapping[str, str], dataset: str) -> PixelStatistics:
        """As it stands in a study's record; older ones do not say it."""
        found = re.fullmatch(r"(\S+) to (\S+), border (\S+)", facts.get("pixels", ""))
        if found:
            return cls(*map(float, found.groups()))
        return cls(0.0, 16.0 if dataset == "digits" else 255.0, 0.5 if dataset == "cifar10" else 0)


@dataclass(frozen=True)
class Preprocessing:
    kind: Kind
    shape: tuple[int, ...]
    """[height, width] where the set is grey, else [3, height, width]."""
    dtype: str
    pixels: PixelStatistics
    style: Style = "mnist"
    keeps_aspect: bool = False
    """Whether its aspect is kept, and not stretched to the set's."""

    @classmethod
    def of(cls, name: str, facts: Mapping[str, str], dataset: str) -> Preprocessing:
        """For the study `name` by its record. Raises StudyError where it has no pictures."""
        found = re.fullmatch(r"(\w+) \[([\d, ]+)\]", facts.get("input", ""))
        if found is None:
            raise StudyError(f"'{name}' does not say what its examples are like")
        shape = tuple(map(int, found[2].split(",")))
        if not is_image_shape(shape):
            what = " x ".join(map(str, shape))
            raise StudyError(
                f"'{name}' was trained on {dataset}, whose examples are {what} numbers, and not on "
                "pictures: there is nothing that it could say of one"
            )
        pixels = PixelStatistics.read(facts, dataset)
        if pixels.minimum < 0:
            raise StudyError(
                f"'{name}' was trained on pictures of values from {pixels.minimum:g} to "
                f"{pixels.maximum:g}: how a picture becomes such is not on record"
            )
        grey = len(shape) == 2 or shape[0] == 1
        kind: Kind = "handwriting" if dataset in STYLES and grey else "fitted"
        style = STYLES.get(dataset, "mnist")
        return cls(kind, shape, found[1], pixels, style, keeps_aspect=dataset in PADDED)

    def with_options(self, *, as_is: bool, handwriting: bool) -> Preprocessing:
        """What the user wants instead."""
        if not as_is and not handwriting:
            return self
        return replace(self, kind="as-is" if as_is else "handwriting")

    @property
    def size(self) -> tuple[int, int]:
        return self.shape[-2], self.shape[-1]

    @property
    def description(self) -> str:
        """For people, what is done to every picture."""
        height, width = self.size
        to = f"{width}x{height}"
        if self.kind == "as-is":
            return f"brought to {to} and nothing else (--as-is)"
        if self.kind == "handwriting" and self.style == "mnist":
            box = round(min(self.size) * 20 / 28)
            return (
                "prepared as MNIST was: light on black, the box around what is drawn scaled to "
                f"{box}x{box}, its centre of mass in the middle of {to}"
            )
        if self.kind == "handwriting":
            return (
                "prepared as NIST's forms were: light on black, upright, the box around what is "
                f"drawn as high as all {to}, as much ink as the set has"
            )
        how = "its shape kept, more of its border around it" if self.keeps_aspect else "stretched"
        dark = "; what is on a light background inverted" if self._is_light_on_dark else ""
        kept = f"as it is where it is {to}, else scaled to that ({how})"
        return f"taken {kept}, {'grey' if self._is_grey else 'in colour'}{dark}"

    def apply(self, picture: Image) -> tuple[npt.NDArray[Any], bool] | None:
        """[*shape] of `dtype`, and whether it was inverted. None where nothing is drawn on it."""
        if self.kind == "handwriting":
            made = normalize_digit(to_grey(picture), self.size, self.style)
            if made is None:
                return None
            drawn, inverted = made
            if self.pixels.border > LIGHT:  # a set of dark on light
                drawn, inverted = 1 - drawn, not inverted
            return self._to_values(np.broadcast_to(drawn, self.shape)), inverted
        values = to_grey(picture)
        light = _border_brightness(values) > LIGHT * 255
        inverted = self.kind == "fitted" and self._is_light_on_dark and light
        if self.kind == "fitted" and self.keeps_aspect:
            picture = _pad_to_aspect(picture, self.size)
        height, width = self.size
        from PIL import Image

        small = picture.convert("L" if self._is_grey else "RGB").resize(
            (width, height), Image.Resampling.BILINEAR
        )
        shares: npt.NDArray[Any] = np.asarray(small, np.float32) / 255
        shares = 1 - shares if inverted else shares
        if not self._is_grey:
            shares = shares.transpose(2, 0, 1)
        return self._to_values(shares.reshape(self.shape)), inverted

    @property
    def _is_grey(self) -> bool:
        return len(self.shape) == 2 or self.shape[0] == 1

    @property
    def _is_light_on_dark(self) -> bool:
        """Whether the set is of light on a dark background."""
        return self._is_grey and self.pixels.border < DARK

    def _to_values(self, shares: npt.NDArray[Any]) -> npt.NDArray[Any]:
        values = shares * self.pixels.maximum
        return (values.round() if self.dtype == "uint8" else values).astype(self.dtype)


def is_image_shape(shape: tuple[int, ...]) -> bool:
    """Grey [height, width], or [1 or 3, height, width]."""
    return len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))


def _border_brightness(grey: npt.NDArray[np.float32]) -> float:
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))


def _pad_to_aspect(picture: Image, size: tuple[int, int]) -> Image:
    """With the aspect of `size`, by more of the colour that its border has."""
    from PIL import Image

    values = np.asarray(picture)
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    colour = tuple(int(value) for value in np.median(edge, axis=0))
    height, width = size
    scale = max(picture.width / width, picture.height / height)
    whole = round(width * scale), round(height * scale)
    around = Image.new("RGB", whole, colour)
    corner = (whole[0] - picture.width) // 2, (whole[1] - picture.height) // 2
    around.paste(picture, corner)
    return around
