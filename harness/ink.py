"""What is drawn on a picture, apart from what it is drawn on: a screen's canvas, a sheet of paper.

A photograph's light is uneven. So the brightness of the paper is estimated from place to place, by
the median of what lies around (Yang et al. 1979: it keeps edges, such as a shadow's, and forgets
lines thinner than half its window), and what is drawn is what is darker by a share of it, or
lighter where that is more. Two thresholds tell it from noise, as Canny's edges (1986): a pixel
above the lower counts where it hangs together with one above the higher.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.float32]

FLAT, FLAT_SHARE = 3.0, 0.5
"""A background is flat where so many of all pixels lie so near to the edge's median."""
COARSE, WINDOW = 64, 21
"""Pixels: the longer side of what the paper's brightness is estimated on, and the median's window:
what is thinner than a sixth of the picture is forgotten."""
LEAST = 0.1
"""Contrast of what is drawn, as a share of the paper's brightness: pencil has 0.2 and more."""
NOISE = 7.0
"""And as a multiple of the noise's standard deviation."""
APART = 4
"""Pixels: what the smoothing or JPEG does to neighbours reaches less far."""
HIGH, LOW = 0.5, 0.3
"""The two thresholds, as shares of the strongest contrast."""
SPECK, FAR = 0.015, 0.5
"""Parts smaller than this share of the largest are dirt; those further from it than this share of
its size are something else."""


@dataclass(frozen=True)
class Ink:
    """What is drawn, cut out."""

    drawn: Grey
    """[height, width] of the box around it, 0 to 1."""
    light: bool
    """Whether it is lighter than what it is drawn on."""


def find_ink(grey: Grey) -> Ink | None:
    """What is drawn on `grey` [H, W], 0 to 255; None where nothing is."""
    contrast, light = _contrast(grey)
    sigma = _noise(contrast)
    strongest = np.sort(contrast, axis=None)[-max(3, contrast.size // 4000) :]
    peak = float(strongest.mean())
    if peak < max(LEAST, NOISE * sigma):
        return None
    low = max(LOW * peak, 3 * sigma)
    kept = _parts(contrast, low, max(HIGH * peak, 5 * sigma))
    if kept is None:
        return None
    rows, columns = np.flatnonzero(kept.any(1)), np.flatnonzero(kept.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    floor = max(0.1 * peak, 2 * sigma)
    strength = ((contrast - floor) / (0.8 * peak - floor)).clip(0, 1)
    return Ink((strength * _grown(kept))[box].astype(np.float32), light)


def _contrast(grey: Grey) -> tuple[Grey, bool]:
    """How far each pixel is from its background, as a share of what it could be; and which way."""
    paper = _paper(grey)
    if grey.size > 200 * 200:  # a photograph's noise; small pictures have no pixel to spare
        grey = _smooth(grey)
    darker = (paper - grey) / paper.clip(48)
    lighter = (grey - paper) / (255 - paper).clip(48)
    light = _weight(lighter) > _weight(darker)
    return (lighter if light else darker), light


def _noise(contrast: Grey) -> float:
    """Its standard deviation, from the median of differences a few pixels apart: slow changes of
    the light are none, nor are lines, which are few."""
    apart = contrast[:, APART:] - contrast[:, :-APART]
    return 1.4826 * float(np.median(np.abs(apart))) / 2**0.5 if apart.size else 0.0


def _weight(contrast: Grey) -> float:
    return float(np.square(contrast.clip(0), dtype=np.float64).sum())


def _paper(grey: Grey) -> Grey:
    """The brightness of the background everywhere."""
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    level = float(np.median(edge))
    if np.mean(np.abs(grey - level) <= FLAT) >= FLAT_SHARE:
        return np.full_like(grey, level)
    from PIL import Image

    height, width = grey.shape
    scale = COARSE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(grey)
    coarse = np.asarray(picture.resize(size, Image.Resampling.BOX))
    around = np.pad(coarse, WINDOW // 2, mode="reflect" if min(size) > WINDOW // 2 else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(around, (WINDOW, WINDOW))
    median = np.median(windows, axis=(2, 3)).astype(np.float32)
    back = Image.fromarray(median).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(back, np.float32)


def _smooth(grey: Grey) -> Grey:
    """The mean of three by three pixels."""
    around = np.pad(grey, 1, mode="edge")
    rows = around[:-2] + around[1:-1] + around[2:]
    return ((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9).astype(np.float32)


def _parts(contrast: Grey, low: float, high: float) -> npt.NDArray[np.bool_] | None:
    """Where the largest part is, and those beside it that belong to it."""
    parts = _connected(contrast, low, high)
    height, width = contrast.shape
    inside = [
        part
        for part in parts
        if part.min() > 0 and part[:, 0].max() < height - 1 and part[:, 1].max() < width - 1
    ]
    # What runs off the picture is the paper's edge or a shadow, unless there is little else.
    if inside and max(map(len, inside)) > 0.1 * max(map(len, parts)):
        parts = inside
    if not parts:
        return None
    largest = max(parts, key=len)
    top, bottom = largest.min(0), largest.max(0)
    reach = FAR * float((bottom - top + 1).max())
    kept = np.zeros(contrast.shape, bool)
    for part in parts:
        gap = np.maximum(part.min(0) - bottom, top - part.max(0)).max()
        if len(part) >= SPECK * len(largest) and gap <= reach:
            kept[part[:, 0], part[:, 1]] = True
    return kept


def _connected(contrast: Grey, low: float, high: float) -> list[npt.NDArray[Any]]:
    """Pixels [n, 2] of each part that hangs together above `low` and somewhere reaches `high`."""
    weak = contrast >= low
    waiting = set(map(tuple, np.argwhere(weak).tolist()))
    parts = []
    for seed in map(tuple, np.argwhere(contrast >= high).tolist()):
        if seed not in waiting:
            continue
        waiting.discard(seed)
        part = [seed]
        for row, column in part:  # which grows meanwhile
            for near in (
                *((row - 1, column - 1), (row - 1, column), (row - 1, column + 1)),
                *((row, column - 1), (row, column + 1)),
                *((row + 1, column - 1), (row + 1, column), (row + 1, column + 1)),
            ):
                if near in waiting:
                    waiting.discard(near)
                    part.append(near)
        parts.append(np.array(part))
    return parts


def _grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """One pixel wider all around: a line's soft edge belongs to it."""
    around = np.pad(mask, 1)
    rows = around[:-2] | around[1:-1] | around[2:]
    return np.asarray(rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:])
