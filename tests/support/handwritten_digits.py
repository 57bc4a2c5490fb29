"""Simulated handwritten digits: drawn with a mouse, or photographed on paper.

A digit is a polyline in a shape that people write, with random changes of its points, slant and
width. A photograph adds paper, uneven light, a shadow, grain, blur, a turn and perspective; it is
a JPEG.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Points = list[tuple[float, float]]


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Points:
    """Return points of an ellipse; angles in degrees, clockwise from the right; y grows down."""
    turns = np.radians(np.linspace(start, end, 14))
    return [(x + rx * float(np.cos(a)), y + ry * float(np.sin(a))) for a in turns]


SHAPES: dict[int, list[list[Points]]] = {
    # each variant of a digit is some strokes, in a box of 0..1 by 0..1
    0: [[_arc(0.5, 0.5, 0.34, 0.5, -100, 265)], [_arc(0.5, 0.5, 0.42, 0.48, -80, 280)]],
    1: [[[(0.5, 0.0), (0.5, 1.0)]], [[(0.32, 0.22), (0.55, 0.0), (0.53, 1.0)]]],
    2: [
        [[*_arc(0.5, 0.28, 0.36, 0.28, -170, 30), (0.6, 0.6), (0.12, 1.0), (0.9, 1.0)]],
        [[(0.15, 0.2), (0.4, 0.0), (0.75, 0.08), (0.8, 0.35), (0.5, 0.7), (0.1, 0.98),
          (0.5, 0.93), (0.92, 1.0)]],
    ],
    3: [
        [[*_arc(0.45, 0.25, 0.36, 0.25, -160, 90), *_arc(0.45, 0.74, 0.42, 0.26, -90, 160)]],
        [[(0.15, 0.05), (0.8, 0.03), (0.42, 0.42), *_arc(0.45, 0.71, 0.4, 0.29, -80, 155)]],
    ],
    4: [
        [[(0.2, 0.02), (0.12, 0.55), (0.85, 0.52)], [(0.72, 0.05), (0.68, 1.0)]],
        [[(0.6, 0.0), (0.08, 0.66), (0.92, 0.64)], [(0.66, 0.28), (0.64, 1.0)]],
    ],
    5: [
        [[(0.82, 0.02), (0.25, 0.04), (0.2, 0.44), *_arc(0.45, 0.68, 0.4, 0.3, -110, 150)]],
        [[(0.25, 0.05), (0.2, 0.44), *_arc(0.44, 0.69, 0.38, 0.3, -110, 150)],
         [(0.25, 0.04), (0.85, 0.0)]],
    ],
    6: [
        [[(0.7, 0.0), (0.35, 0.3), (0.18, 0.66), *_arc(0.48, 0.73, 0.32, 0.26, 170, -175)]],
        [[(0.55, 0.0), (0.25, 0.4), *_arc(0.5, 0.72, 0.34, 0.27, 190, -150)]],
    ],
    7: [
        [[(0.1, 0.05), (0.88, 0.03), (0.6, 0.45), (0.4, 1.0)]],
        [[(0.1, 0.12), (0.45, 0.04), (0.85, 0.06), (0.62, 0.5), (0.5, 1.0)]],
    ],
    8: [
        [[*_arc(0.5, 0.24, 0.27, 0.24, 60, -240), *_arc(0.5, 0.74, 0.34, 0.26, -60, 245)]],
        [_arc(0.5, 0.25, 0.26, 0.25, 90, 450), _arc(0.5, 0.75, 0.33, 0.25, -90, 270)],
    ],
    9: [
        [[*_arc(0.46, 0.27, 0.3, 0.26, -20, -370), (0.76, 0.4), (0.7, 1.0)]],
        [[*_arc(0.45, 0.27, 0.32, 0.26, -30, -365), (0.72, 0.6), (0.5, 1.0)]],
    ],
}  # fmt: skip


def draw_strokes(digit: int, rng: np.random.Generator) -> list[npt.NDArray[Any]]:
    """Return random lines [n, 2] of (x, y) in a box of about 0..1, y downwards."""
    variants = SHAPES[digit]
    variant = variants[rng.integers(len(variants))]
    turn = np.radians(rng.normal(0, 5))
    slant, wide = rng.normal(0.1, 0.12), rng.uniform(0.6, 0.85)
    cosine, sine = np.cos(turn), np.sin(turn)
    change = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[wide, -slant], [0, 1]])
    lines = []
    for points in variant:
        moved = np.array(points) + rng.normal(0, 0.02, (len(points), 2))
        lines.append(_smooth(moved) @ change.T)
    points_of_all = np.concatenate(lines)
    low, high = points_of_all.min(0), points_of_all.max(0)
    return [(line - low) / (high - low).max() for line in lines]


def _smooth(points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Cut the corners twice (Chaikin)."""
    for _ in range(2):
        first, last = points[:1], points[-1:]
        nearer = 0.75 * points[:-1] + 0.25 * points[1:]
        further = 0.25 * points[:-1] + 0.75 * points[1:]
        between = np.stack([nearer, further], 1).reshape(-1, 2)
        points = np.concatenate([first, between, last])
    return points


def _draw(
    digit: int,
    rng: np.random.Generator,
    size: tuple[int, int],
    tall: float,
    pen: float,
    margin: float = 0,
) -> Image.Image:
    """Draw white on black, mode L; `tall` and `pen` in pixels, `margin` a fraction."""
    over = 3  # times finer, then reduced, for soft edges
    width, height = size
    picture = Image.new("L", (width * over, height * over))
    draw = ImageDraw.Draw(picture)
    edge = pen / 2 + 1 + margin * min(size)
    room = np.array([width, height]) - tall - 2 * edge
    corner = rng.uniform(0, 1, 2) * room.clip(0) + edge
    radius = pen * over / 2
    for line in draw_strokes(digit, rng):
        at = [tuple(point) for point in ((line * tall + corner) * over).tolist()]
        draw.line(at, fill=255, width=max(1, round(pen * over)), joint="curve")
        for x, y in (at[0], at[-1]):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return picture.resize(size, Image.Resampling.BOX)


def draw_digit(digit: int, rng: np.random.Generator) -> Image.Image:
    """Draw with a mouse: any size, place and pen, black on white or the reverse."""
    size = int(rng.integers(60, 700)), int(rng.integers(60, 700))
    tall = rng.uniform(0.4, 0.85) * min(size)
    pen = max(1.0, rng.uniform(0.02, 0.14) * tall)
    picture = _draw(digit, rng, size, tall, pen)
    return picture if rng.random() < 0.5 else Image.eval(picture, lambda value: 255 - value)


def photograph_digit(digit: int | None, rng: np.random.Generator) -> bytes:
    """Return a JPEG of a digit on a sheet with a wide margin; of an empty sheet for None."""
    width, height = (1200, 900) if rng.random() < 0.5 else (900, 1200)
    tall = rng.uniform(0.12, 0.45) * min(width, height)
    pen = max(2.0, rng.uniform(0.025, 0.09) * tall)
    ink = np.zeros((height, width))
    if digit is not None:
        drawing = _draw(digit, rng, (width, height), tall, pen, 0.15)
        ink = np.asarray(drawing, np.float64) / 255
    colour = np.array([[0.2, 0.2, 0.22], [0.15, 0.2, 0.5], [0.5, 0.5, 0.5]][rng.integers(3)])
    paper = rng.uniform(0.8, 0.95) * np.array([1.0, 0.98, rng.uniform(0.85, 1.0)])
    sheet = paper * (1 - ink[..., None] * (1 - colour))
    down, right = np.mgrid[:height, :width].astype(np.float64) / max(width, height)
    turn = rng.uniform(0, 2 * np.pi)
    light = 1 - rng.uniform(0.2, 0.6) * (np.cos(turn) * right + np.sin(turn) * down + 1) / 2
    edge = right * np.cos(turn + 1) + down * np.sin(turn + 1) - rng.uniform(0.1, 0.6)
    light *= 1 - rng.uniform(0.2, 0.5) / (1 + np.exp(-edge / rng.uniform(0.01, 0.05)))  # a shadow
    grain = rng.normal(0, 0.01, (height, width, 1))
    values = (255 * (sheet + grain) * light[..., None]).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(values)
    picture = picture.transform(
        picture.size,
        Image.Transform.PERSPECTIVE,
        _make_perspective(width, height, rng),
        Image.Resampling.BICUBIC,
        fillcolor=tuple(int(v) for v in np.median(values.reshape(-1, 3), 0)),
    )
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.5)))
    noisy = np.asarray(picture, np.float64) + rng.normal(0, rng.uniform(2, 8), (height, width, 3))
    stream = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(
        stream, "JPEG", quality=int(rng.integers(40, 90))
    )
    return stream.getvalue()


def _make_perspective(width: int, height: int, rng: np.random.Generator) -> list[float]:
    """Return Pillow's eight coefficients of a small turn and a mild perspective."""
    turn, x, y = np.radians(rng.normal(0, 4)), width / 2, height / 2
    cosine, sine = np.cos(turn) * 0.93, np.sin(turn) * 0.93
    back = np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])
    tilt = rng.uniform(-0.12, 0.12, 2) / max(width, height)
    change = np.array([[cosine, -sine, 0], [sine, cosine, 0], [*tilt, 1]])
    matrix = back @ change @ np.linalg.inv(back)
    return [float(v) for v in (matrix / matrix[2, 2]).ravel()[:8]]
