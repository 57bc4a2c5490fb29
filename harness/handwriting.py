"""Handwriting as the sets of digits have it, from a drawing or a photograph.

MNIST (LeCun et al. 1998): the box around the digit is scaled to 20x20, its aspect kept, with
anti-aliasing, and set into 28x28 with its centre of mass in the middle; light on black. Other sizes
are in proportion. scikit-learn's digits fill all 8 rows and stand in the middle by their box.

Their lines are of a pencil on a form; those of a mouse or of a thin pen on a large sheet become
fainter when scaled, and those of a marker run together. So lines that are thinner than nearly all
of the set's are made thicker first, and thicker ones thinner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.ink import Grey, find_ink


@dataclass(frozen=True)
class Style:
    """How a set of digits has them, as shares of a picture's side."""

    box: float
    """The longer side of the box around a digit."""
    by_mass: bool
    """Whether the centre of mass, or that of the box, is in the middle."""
    thin: float
    """Nearly all lines are thicker than this, and thinner than `thick`."""
    thick: float


MNIST = Style(box=20 / 28, by_mass=True, thin=2.3 / 28, thick=3.4 / 28)
"""Thickness: the quartile below and the tenth above of 6,000 training images, by `thickness`."""
DIGITS = Style(box=1.0, by_mass=False, thin=2.1 / 8, thick=2.5 / 8)
"""The tenths below and above of scikit-learn's 1,797."""
FINE = 8
"""The box is so many times finer while lines are made thicker or thinner."""
EDGE = 0.3
"""What is fainter does not count for the box."""


def as_handwriting(
    grey: Grey, shape: tuple[int, int], style: Style = MNIST
) -> tuple[npt.NDArray[np.float32], bool] | None:
    """What is drawn on `grey` [H, W] (0 to 255), light on black (0 to 1), [*shape].

    With it whether it was dark on light, and so inverted. None where nothing is drawn.
    """
    ink = find_ink(grey)
    if ink is None:
        return None
    side = min(shape)
    box = max(1, round(style.box * side))
    fine = _scaled(ink.drawn, box * FINE)
    line = thickness(fine) / FINE / side
    wanted = min(max(line, style.thin), style.thick)
    fine = _widened(fine, round((wanted - line) * side * FINE / 2))
    return _centred(_scaled(fine, box), shape, style.by_mass), not ink.light


def thickness(drawn: Grey) -> float:
    """The mean thickness in pixels of lines [H, W], 0 to 1.

    A line of length l and thickness t has the area l t and an outline of 2 l; the outline of what
    has soft edges is the integral of its gradient (the co-area formula).
    """
    around = np.pad(drawn, 1)
    down = (around[2:, 1:-1] - around[:-2, 1:-1]) / 2
    right = (around[1:-1, 2:] - around[1:-1, :-2]) / 2
    return 2 * float(drawn.sum()) / max(1e-6, float(np.hypot(down, right).sum()))


def _scaled(drawn: Grey, longer: int) -> Grey:
    """With the longer side of so many pixels, the aspect kept."""
    from PIL import Image

    height, width = drawn.shape
    scale = longer / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = Image.fromarray(drawn).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32).clip(0, 1)


def _widened(drawn: Grey, by: int) -> Grey:
    """Lines wider by so many pixels on each side, or narrower where it is negative.

    By squares and crosses in turn, which together are nearly a disc.
    """
    wide = np.pad(drawn, max(by, 1))
    for step in range(abs(by)):
        height, width = wide.shape
        around = np.pad(wide, 1)
        shifts = [
            around[down : down + height, right : right + width]
            for down in range(3)
            for right in range(3)
            if step % 2 or down == 1 or right == 1
        ]
        wide = (np.maximum if by > 0 else np.minimum).reduce(shifts)
    rows, columns = np.flatnonzero((wide > EDGE).any(1)), np.flatnonzero((wide > EDGE).any(0))
    if not len(rows):  # thinner than what was to be taken away
        return drawn
    return wide[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _centred(drawn: Grey, shape: tuple[int, int], by_mass: bool) -> Grey:
    """On black, with its centre in the middle or as near to it as there is room."""
    placed = np.zeros(shape, np.float32)
    corner = []
    for axis, room in enumerate(shape):
        length = drawn.shape[axis]
        middle = (length - 1) / 2
        wanted = (room - 1) / 2
        if by_mass:  # which MNIST has at 14 of 0 to 27
            along = drawn.sum(1 - axis)
            middle = float((along * np.arange(length)).sum() / max(1e-6, float(along.sum())))
            wanted = room / 2
        corner.append(min(max(round(wanted - middle), 0), room - length))
    top, left = corner
    placed[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return placed
