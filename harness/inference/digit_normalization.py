"""Handwriting as the sets of digits have it, from a drawing or a photograph.

MNIST (LeCun et al. 1998): the box around the digit is scaled to 20x20, its aspect kept, with
anti-aliasing, and set into 28x28 with its centre of mass in the middle; light on black. Other sizes
are in proportion. Its lines are of a pencil on a form; those of a mouse or of a thin pen on a large
sheet become fainter when scaled, and those of a marker run together. So lines that are thinner than
most of the set's are made thicker first, and thicker ones thinner.

scikit-learn's digits went through NIST's own (Garris et al., NISTIR 5469, 1994): rows are moved
sideways until the left ends of the first and last stand above one another, the box is stretched to
20x32 within 32x32, lines are widened or narrowed until a given share is ink, and every pixel of 8x8
counts 4x4 of these.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from harness.inference.foreground import Grey, find_ink

Style = Literal["mnist", "nist"]
BOX = 20 / 28
"""MNIST: the longer side of the box around a digit, as a share of a picture's side."""
THIN, THICK = 2.3 / 28, 3.4 / 28
"""MNIST: how thick lines are: the quartile below and the tenth above of 6,000 training images, by
`thickness`."""
NARROW = 20 / 32
"""NIST: the width of the box; its height is the picture's."""
STRETCH = 1.5
"""NIST: a narrow box, a one's, is made wider by so much at most."""
LIGHT, DARK = 0.28, 0.34
"""NIST: the share of a picture that is ink: the fifths below and above of scikit-learn's digits."""
FINE = 8
"""The box is so many times finer while lines are made thicker or thinner."""
EDGE = 0.3
"""What is fainter does not count for the box."""


def as_handwriting(
    grey: Grey, shape: tuple[int, int], style: Style = "mnist"
) -> tuple[Grey, bool] | None:
    """What is drawn on `grey` [H, W] (0 to 255), light on black (0 to 1), [*shape].

    With it whether it was dark on light, and so inverted. None where nothing is drawn.
    """
    ink = find_ink(grey)
    if ink is None:
        return None
    made = _as_mnist(ink.drawn, shape) if style == "mnist" else _as_nist(ink.drawn, shape)
    return made, not ink.light


def _as_mnist(drawn: Grey, shape: tuple[int, int]) -> Grey:
    side = min(shape)
    box = max(1, round(BOX * side))
    fine = _scaled(drawn, box * FINE)
    for _ in range(2):  # wider lines make a larger box, which makes them thinner
        line = thickness(fine) / FINE / side
        wanted = min(max(line, THIN), THICK)
        fine = _scaled(_widened(fine, round((wanted - line) * side * FINE / 2)), box * FINE)
    return _centred(_scaled(fine, box), shape)


def _as_nist(drawn: Grey, shape: tuple[int, int]) -> Grey:
    side = min(shape)
    height, width = side * FINE, max(1, round(side * FINE * NARROW))
    fine = _boxed(_upright(_scaled(drawn, height)), height, width, STRETCH)
    for _ in range(height // 4):
        share = float(fine.sum()) / height**2
        if LIGHT <= share <= DARK:
            break
        fine = _boxed(_widened(fine, 1 if share < LIGHT else -1), height, width)
    rows, columns = shape
    placed = np.zeros((rows * FINE, columns * FINE), np.float32)
    top, left = (placed.shape[0] - height) // 2, (placed.shape[1] - fine.shape[1]) // 2
    placed[top : top + height, left : left + fine.shape[1]] = fine
    return np.asarray(placed.reshape(rows, FINE, columns, FINE).mean((1, 3)))


def _boxed(drawn: Grey, height: int, width: int, stretch: float = 1.0) -> Grey:
    """In a box of that size, or less wide where it would be stretched by more."""
    natural = drawn.shape[1] * height / drawn.shape[0]
    return _resized(drawn, height, min(width, max(1, round(stretch * natural))))


def _upright(drawn: Grey) -> Grey:
    """Sheared until the first ink of the first row stands above that of the last."""
    first, last = ((row > EDGE).argmax() for row in (drawn[0], drawn[-1]))
    height, width = drawn.shape
    slope = (int(last) - int(first)) / max(1, height - 1)
    shifts = np.round(-slope * np.arange(height)).astype(int)
    shifts -= shifts.min()
    sheared = np.zeros((height, width + int(shifts.max())), np.float32)
    for row, shift in enumerate(shifts):
        sheared[row, shift : shift + width] = drawn[row]
    return _cut(sheared)


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
    height, width = drawn.shape
    scale = longer / max(height, width)
    return _resized(drawn, max(1, round(height * scale)), max(1, round(width * scale)))


def _resized(drawn: Grey, height: int, width: int) -> Grey:
    from PIL import Image

    image = Image.fromarray(drawn).resize((width, height), Image.Resampling.BICUBIC)
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
    return _cut(wide)


def _cut(drawn: Grey) -> Grey:
    """The box around it; all of it where it is fainter everywhere."""
    clear = drawn > EDGE
    rows, columns = np.flatnonzero(clear.any(1)), np.flatnonzero(clear.any(0))
    if not len(rows):
        return drawn
    return drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _centred(drawn: Grey, shape: tuple[int, int]) -> Grey:
    """On black, its centre of mass in the middle, or as near to it as there is room."""
    placed = np.zeros(shape, np.float32)
    corner = []
    for axis, room in enumerate(shape):
        along = drawn.sum(1 - axis)
        length = len(along)
        middle = float((along * np.arange(length)).sum() / max(1e-6, float(along.sum())))
        corner.append(min(max(round(room / 2 - middle), 0), room - length))  # MNIST: at 14 of 0..27
    top, left = corner
    placed[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return placed
