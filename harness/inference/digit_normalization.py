"""Normalize a handwritten digit from a drawing or a photograph as the digit datasets did.

MNIST (LeCun et al. 1998): the digit's bounding box is scaled to 20x20 with its aspect kept and
anti-aliasing, and placed in 28x28 with its centre of mass in the middle; light on black. Other
sizes are in proportion. MNIST's lines are a pencil's on a form. A mouse's or a thin pen's lines on
a large sheet become too faint when scaled, and a marker's run together. So lines thinner than most
in MNIST are made thicker first, and thicker ones thinner.

NIST (Garris et al., NISTIR 5469, 1994), for scikit-learn's digits: rows are shifted until the left
ends of the first and last row are above each other, the box is stretched to 20x32 within 32x32,
lines are widened or narrowed until a given share of the image is drawn, and every pixel of 8x8 is
the mean of 4x4 of these.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from harness.data.types import DigitStyle
from harness.inference.foreground import Grey, crop, find_foreground

BOX = 20 / 28
"""MNIST: the longer side of a digit's bounding box, as a fraction of the image's side."""
THIN, THICK = 2.3 / 28, 3.4 / 28
"""MNIST: line thickness by `line_thickness`: the lower quartile and the highest tenth of 6,000
training images."""
NARROW = 20 / 32
"""NIST: the width of the box; its height is the image's."""
STRETCH = 1.5
"""NIST: how much a narrow box, such as a one's, is widened at most."""
LIGHT, DARK = 0.28, 0.34
"""NIST: the share of an image that is drawn: the lowest and highest fifth of scikit-learn's
digits."""
FINE = 8
"""How many times finer the box is while lines are made thicker or thinner."""
EDGE = 0.3
"""Fainter pixels do not count for the bounding box."""


def normalize_digit(
    grey: Grey, shape: tuple[int, int], style: DigitStyle = "mnist"
) -> tuple[Grey, bool] | None:
    """Return the digit drawn on an image, and whether it was inverted; None if nothing is drawn.

    The image is [H, W], 0 to 255; the digit is [*shape], 0 to 1, light on black. It is inverted if
    it was dark on light.
    """
    foreground = find_foreground(grey)
    if foreground is None:
        return None
    normalize = _normalize_mnist if style == "mnist" else _normalize_nist
    return normalize(foreground.pixels, shape), not foreground.is_light


def _normalize_mnist(digit: Grey, shape: tuple[int, int]) -> Grey:
    side = min(shape)
    box = max(1, round(BOX * side))
    fine = _scale(digit, box * FINE)
    for _ in range(2):  # wider lines make a larger box, and scaling that makes them thinner
        actual = line_thickness(fine) / FINE / side
        target = min(max(actual, THIN), THICK)
        fine = _scale(_widen(fine, round((target - actual) * side * FINE / 2)), box * FINE)
    return _center(_scale(fine, box), shape)


def _normalize_nist(digit: Grey, shape: tuple[int, int]) -> Grey:
    side = min(shape)
    height, width = side * FINE, max(1, round(side * FINE * NARROW))
    fine = _fit_to_box(_straighten(_scale(digit, height)), height, width, STRETCH)
    for _ in range(height // 4):
        share = float(fine.sum()) / height**2
        if LIGHT <= share <= DARK:
            break
        fine = _fit_to_box(_widen(fine, 1 if share < LIGHT else -1), height, width)
    rows, columns = shape
    image = np.zeros((rows * FINE, columns * FINE), np.float32)
    _paste(fine, image, (image.shape[0] - height) // 2, (image.shape[1] - fine.shape[1]) // 2)
    return np.asarray(image.reshape(rows, FINE, columns, FINE).mean((1, 3)))


def _fit_to_box(digit: Grey, height: int, width: int, stretch: float = 1.0) -> Grey:
    """Resize to `height` and `width`, but stretch the width by `stretch` at most."""
    natural = digit.shape[1] * height / digit.shape[0]
    return _resize(digit, height, min(width, max(1, round(stretch * natural))))


def _straighten(digit: Grey) -> Grey:
    """Shear until the left ends of the first and last row are above each other."""
    first, last = ((row > EDGE).argmax() for row in (digit[0], digit[-1]))
    height, width = digit.shape
    slope = (int(last) - int(first)) / max(1, height - 1)
    shifts = np.round(-slope * np.arange(height)).astype(int)
    shifts -= shifts.min()
    sheared = np.zeros((height, width + int(shifts.max())), np.float32)
    for row, shift in enumerate(shifts):
        sheared[row, shift : shift + width] = digit[row]
    return crop(sheared, EDGE)


def line_thickness(digit: Grey) -> float:
    """Return the mean thickness in pixels of lines [H, W], 0 to 1.

    A line of length l and thickness t has an area of l t and an outline of 2 l. The length of a
    soft outline is the integral of the gradient (co-area formula).
    """
    padded = np.pad(digit, 1)
    down = np.asarray(np.gradient(padded, axis=0))[1:-1, 1:-1]
    right = np.asarray(np.gradient(padded, axis=1))[1:-1, 1:-1]
    return 2 * float(digit.sum()) / max(1e-6, float(np.hypot(down, right).sum()))


def _scale(digit: Grey, longer_side: int) -> Grey:
    """Resize with the aspect kept."""
    height, width = digit.shape
    scale = longer_side / max(height, width)
    return _resize(digit, max(1, round(height * scale)), max(1, round(width * scale)))


def _resize(digit: Grey, height: int, width: int) -> Grey:
    image = Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32).clip(0, 1)


def _widen(digit: Grey, pixels: int) -> Grey:
    """Widen lines by so many pixels on each side, or narrow them if it is negative.

    Crosses and squares alternate, which together are nearly a disc.
    """
    wide = np.pad(digit, max(pixels, 1))
    morph = ndimage.grey_dilation if pixels > 0 else ndimage.grey_erosion
    for step in range(abs(pixels)):
        neighbours = ndimage.generate_binary_structure(2, 1 + step % 2)
        wide = morph(wide, footprint=neighbours, mode="constant")
    return crop(wide, EDGE)


def _center(digit: Grey, shape: tuple[int, int]) -> Grey:
    """Place on black, the centre of mass in the middle, or as near to it as possible."""
    image = np.zeros(shape, np.float32)
    center = ndimage.center_of_mass(digit) if digit.any() else (0.0, 0.0)
    top, left = (
        min(max(round(room / 2 - middle), 0), room - length)  # MNIST: at 14 of 0..27
        for room, middle, length in zip(shape, center, digit.shape, strict=True)
    )
    _paste(digit, image, top, left)
    return image


def _paste(digit: Grey, image: Grey, top: int, left: int) -> None:
    image[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
