"""What is drawn on a picture, apart from what it is drawn on: a screen's canvas, a sheet of paper.

A photograph's light is uneven. So the brightness of the paper is estimated from place to place, by
the median of what lies around (Yang et al. 1979: it keeps edges, such as a shadow's, and forgets
lines thinner than half its window), and what is drawn is what is darker by a share of it, or
lighter where that is more. Two thresholds tell it from noise, as Canny's edges (1986): a pixel
above the lower counts where it hangs together with one above the higher.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.intp]
"""Of one part: (row, column), [n, 2]."""

FLAT, FLAT_SHARE = 3.0, 0.5
"""A background is flat where so many of all pixels lie so near to the edge's median."""
COARSE, WINDOW = 64, 21
"""Pixels: the longer side of what the paper's brightness is estimated on, and the median's window:
what is thinner than a sixth of the picture is forgotten."""
LEAST = 0.1
"""Contrast of what is drawn, as a share of the paper's brightness: pencil has 0.2 and more."""
SMALL = 200 * 200
"""Pixels: pictures of fewer have none to spare for smoothing."""
NOISE = 7.0
"""And as a multiple of the noise's standard deviation."""
APART = 4
"""Pixels: what the smoothing or JPEG does to neighbours reaches less far."""
HIGH, LOW = 0.5, 0.3
"""The two thresholds, as shares of the strongest contrast."""
SHARP = 0.4
"""So much of its contrast an edge of what is drawn has within 6 pixels, 2 of a small picture."""
SMALLEST = 0.015
"""What is drawn is at least so large, as a share of the picture's longer side."""
SPECK, FAR = 0.015, 0.5
"""Parts smaller than this share of the largest are dirt; those further from it than this share of
its size are something else."""
LITTLE, ROUNDS = 0.02, 3
"""What is drawn inside is little where it is this share of what runs off; how often that is taken
away."""
FAINT, FULL = 0.1, 0.8
"""Shares of a line's contrast that become 0 and 1."""


@dataclass(frozen=True)
class Ink:
    """What is drawn, cut out."""

    drawn: Grey
    """[height, width] of the box around it, 0 to 1."""
    light: bool
    """Whether it is lighter than what it is drawn on."""


def find_ink(grey: Grey) -> Ink | None:
    """What is drawn on `grey` [H, W], 0 to 255; None where nothing is."""
    paper = _paper(grey)
    if grey.size > SMALL:  # a photograph's noise
        grey = _smooth(grey)
    dark = _drawn((paper - grey) / paper.clip(48))
    light = _drawn((grey - paper) / (255 - paper).clip(96))
    is_light = (light.within, light.weight) > (dark.within, dark.weight)
    drawn = (light if is_light else dark).contrast
    if not drawn.any():
        return None
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Ink(_spread(drawn[box]), is_light)


@dataclass(frozen=True)
class _Drawn:
    contrast: Grey
    """0 where nothing is drawn."""
    within: bool
    """Whether the picture holds all of it."""

    @property
    def weight(self) -> float:
        return float(np.square(self.contrast, dtype=np.float64).sum())


def _drawn(contrast: Grey) -> _Drawn:
    """Where something is drawn.

    What runs off the picture is the paper's edge or what lies beside it, unless there is little
    else; it is looked for again without it, as fainter lines may be within.
    """
    sigma, whole = _noise(contrast), None
    for _ in range(ROUNDS):
        peak = _strongest(contrast, max(3, contrast.size // 4000))
        if peak < max(LEAST, NOISE * sigma):
            break
        parts = _connected(contrast, max(LOW * peak, 3 * sigma), max(HIGH * peak, 5 * sigma))
        parts = _sharp(parts, contrast)
        inside = [part for part in parts if not _runs_off(part, contrast)]
        kept = _together(inside or parts, contrast)
        whole = kept if whole is None else whole
        if inside and len(max(inside, key=len)) > LITTLE * len(max(parts, key=len)):
            return _Drawn(kept, True)
        if not parts:
            break
        beside = _grown(_mask(parts, contrast), 4)
        contrast = np.where(beside, np.float32(0), contrast)
    return _Drawn(np.zeros_like(contrast) if whole is None else whole, False)


def _spread(drawn: Grey) -> Grey:
    """To 0 to 1: a line's middle is 1 however faint it was, and its edge soft."""
    peak = _strongest(drawn, max(1, drawn.size // 50))
    return ((drawn / peak - FAINT) / (FULL - FAINT)).clip(0, 1).astype(np.float32)


def _strongest(contrast: Grey, count: int) -> float:
    """The mean of so many pixels."""
    count = min(count, contrast.size)
    return float(np.partition(contrast, -count, axis=None)[-count:].mean())


def _noise(contrast: Grey) -> float:
    """Its standard deviation, from the median of differences a few pixels apart: slow changes of
    the light are none, nor are lines, which are few."""
    apart = contrast[:, APART:] - contrast[:, :-APART]
    return 1.4826 * float(np.median(np.abs(apart))) / 2**0.5 if apart.size else 0.0


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
    half = WINDOW // 2
    if min(size) > half:  # so that light which falls off goes on to, beyond the picture
        around = np.pad(coarse, half, mode="reflect", reflect_type="odd")
    else:
        around = np.pad(coarse, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(around, (WINDOW, WINDOW))
    median = np.median(windows, axis=(2, 3)).astype(np.float32)
    back = Image.fromarray(median).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(back, np.float32)


def _smooth(grey: Grey) -> Grey:
    """The mean of three by three pixels."""
    around = np.pad(grey, 1, mode="edge")
    rows = around[:-2] + around[1:-1] + around[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9, np.float32)


def _runs_off(part: Pixels, contrast: Grey) -> bool:
    return bool(part.min() == 0 or (part.max(0) == np.array(contrast.shape) - 1).any())


def _sharp(parts: list[Pixels], contrast: Grey) -> list[Pixels]:
    """Those of some size, with an edge: light changes slowly, what is drawn within few pixels."""
    far = 3 if contrast.size > SMALL else 1
    around = np.pad(contrast, far, mode="edge")
    down = around[2 * far :, far:-far] - around[: -2 * far, far:-far]
    right = around[far:-far, 2 * far :] - around[far:-far, : -2 * far]
    steep = np.hypot(down, right)
    least = SMALLEST * max(contrast.shape)
    found = []
    for part in parts:
        if np.ptp(part, axis=0).max() + 1 < least:
            continue
        at = part[:, 0], part[:, 1]
        # Not the most of all, which is noise; of a thick stroke's pixels few are at its edge.
        if np.quantile(steep[at], 0.95) >= SHARP * np.quantile(contrast[at], 0.95):
            found.append(part)
    return found


def _together(parts: list[Pixels], contrast: Grey) -> Grey:
    """The contrast of the largest part and of those beside it that belong to it."""
    if not parts:
        return np.zeros_like(contrast)
    largest = max(parts, key=len)
    top, bottom = largest.min(0), largest.max(0)
    reach = FAR * float((bottom - top + 1).max())
    near = [
        part
        for part in parts
        if len(part) >= SPECK * len(largest)
        and np.maximum(part.min(0) - bottom, top - part.max(0)).max() <= reach
    ]
    # One pixel wider all around: a line's soft edge belongs to it.
    edged = _grown(_mask(near, contrast), 1)
    return np.where(edged, contrast.clip(0), np.float32(0))


def _mask(parts: list[Pixels], contrast: Grey) -> npt.NDArray[np.bool_]:
    mask = np.zeros(contrast.shape, bool)
    for part in parts:
        mask[part[:, 0], part[:, 1]] = True
    return mask


def _connected(contrast: Grey, low: float, high: float) -> list[Pixels]:
    """Each part that hangs together above `low` and somewhere reaches `high`."""
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


def _grown(mask: npt.NDArray[np.bool_], by: int) -> npt.NDArray[np.bool_]:
    """So many pixels wider all around."""
    for _ in range(by):
        around = np.pad(mask, 1)
        rows = around[:-2] | around[1:-1] | around[2:]
        mask = np.asarray(rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:])
    return mask
