"""Find what is drawn on an image, and separate it from the canvas or sheet of paper.

A photograph has uneven light. So the brightness of the background is estimated at every place by
the median around it (Yang et al. 1979), which keeps edges such as a shadow's and removes lines
thinner than half its window. What is darker than that by some contrast is drawn, or what is
lighter, whichever is more. Two thresholds separate it from noise, as in Canny's edge detector
(1986): a pixel above the lower one counts if it is connected to one above the higher.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Grey = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Region = npt.NDArray[np.intp]
"""(row, column) of connected pixels, [n, 2]."""

FLAT, FLAT_SHARE = 3.0, 0.5
"""A background is flat if this share of all pixels is this near to the border's median."""
COARSE, WINDOW = 64, 21
"""Pixels: the longer side that the image is reduced to for estimating its background, and the
window of the median. Lines thinner than a sixth of the image are removed."""
MIN_CONTRAST = 0.1
"""Of what is drawn, as a fraction of the background's brightness; pencil has 0.2 and more."""
MIN_SIGNAL = 7.0
"""Contrast of what is drawn, in standard deviations of the noise."""
SMALL = 200 * 200
"""Pixels: images with fewer are not smoothed."""
NOISE_DISTANCE = 4
"""Pixels: smoothing and JPEG make neighbours alike, but not so far away."""
HIGH, LOW = 0.5, 0.3
"""The two thresholds, as fractions of the strongest contrast."""
SHARP = 0.4
"""An edge of what is drawn has this fraction of its contrast within 6 pixels, or within 2 in a
small image."""
MIN_SIZE = 0.015
"""Of what is drawn, as a fraction of the image's longer side."""
SPECK, FAR = 0.015, 0.5
"""Regions below this fraction of the largest one's pixels are dirt; those further away from it than
this fraction of its size are something else."""
LITTLE, ROUNDS = 0.02, 3
"""What is drawn inside is little if it has this fraction of the pixels of what touches the border,
which is then removed, at most so many times."""
FAINT, FULL = 0.1, 0.8
"""The fractions of a line's contrast that become 0 and 1."""


@dataclass(frozen=True)
class Foreground:
    """What is drawn, cropped."""

    pixels: Grey
    """[height, width], 0 to 1."""
    is_light: bool
    """Whether it is lighter than its background."""


def find_foreground(grey: Grey) -> Foreground | None:
    """Find what is drawn on an image [H, W] of values 0 to 255; None if nothing is."""
    background = _estimate_background(grey)
    if grey.size > SMALL:  # a photograph, which has noise
        grey = _smooth(grey)
    dark = _find_candidate((background - grey) / background.clip(48))
    light = _find_candidate((grey - background) / (255 - background).clip(96))
    is_light = (light.is_inside, light.weight) > (dark.is_inside, dark.weight)
    contrast = (light if is_light else dark).contrast
    if not contrast.any():
        return None
    return Foreground(_stretch(crop(contrast, 0)), is_light)


def crop(pixels: Grey, threshold: float) -> Grey:
    """Return the bounding box of the pixels above `threshold`; all pixels if there are none."""
    boxes = ndimage.find_objects((pixels > threshold).astype(np.uint8))
    return pixels[boxes[0]] if boxes else pixels


@dataclass(frozen=True)
class _Candidate:
    """What is drawn if lines are dark, or if they are light."""

    contrast: Grey
    """[H, W], 0 where nothing is drawn."""
    is_inside: bool
    """Whether the image contains all of it."""

    @property
    def weight(self) -> float:
        return float(np.square(self.contrast, dtype=np.float64).sum())


def _find_candidate(contrast: Grey) -> _Candidate:
    """Find where something is drawn.

    What touches the image's border is the paper's edge or something beside it, unless there is
    little else. Fainter lines may be inside, so the search is repeated without it.
    """
    sigma, first = _estimate_noise(contrast), None
    for _ in range(ROUNDS):
        peak = _mean_of_strongest(contrast, max(3, contrast.size // 4000))
        if peak < max(MIN_CONTRAST, MIN_SIGNAL * sigma):
            break
        regions = _find_regions(contrast, max(LOW * peak, 3 * sigma), max(HIGH * peak, 5 * sigma))
        regions = _select_sharp(regions, contrast)
        inside = [region for region in regions if not _touches_border(region, contrast)]
        merged = _merge_near(inside or regions, contrast)
        first = merged if first is None else first
        if inside and len(max(inside, key=len)) > LITTLE * len(max(regions, key=len)):
            return _Candidate(merged, True)
        if not regions:
            break
        removed = _dilate(_to_mask(regions, contrast), 4)
        contrast = np.where(removed, np.float32(0), contrast)
    return _Candidate(np.zeros_like(contrast) if first is None else first, False)


def _stretch(contrast: Grey) -> Grey:
    """Scale to 0 to 1: a line's middle becomes 1 however faint it was, and its edge stays soft."""
    peak = _mean_of_strongest(contrast, max(1, contrast.size // 50))
    return ((contrast / peak - FAINT) / (FULL - FAINT)).clip(0, 1).astype(np.float32)


def _mean_of_strongest(contrast: Grey, count: int) -> float:
    count = min(count, contrast.size)
    return float(np.partition(contrast, -count, axis=None)[-count:].mean())


def _estimate_noise(contrast: Grey) -> float:
    """Return the noise's standard deviation, from the median difference of pixels some way apart.

    Slow changes of the light do not count, nor do lines, which have few pixels.
    """
    differences = contrast[:, NOISE_DISTANCE:] - contrast[:, :-NOISE_DISTANCE]
    return 1.4826 * float(np.median(np.abs(differences))) / 2**0.5 if differences.size else 0.0


def _estimate_background(grey: Grey) -> Grey:
    """Return the brightness of the background at every pixel."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    level = float(np.median(border))
    if np.mean(np.abs(grey - level) <= FLAT) >= FLAT_SHARE:
        return np.full_like(grey, level)
    height, width = grey.shape
    scale = COARSE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = Image.fromarray(grey)
    coarse = np.asarray(image.resize(size, Image.Resampling.BOX))
    half = WINDOW // 2
    if min(size) > half:  # light that falls off continues to fall off beyond the border
        padded = np.pad(coarse, half, mode="reflect", reflect_type="odd")
    else:
        padded = np.pad(coarse, half, mode="edge")
    median = ndimage.median_filter(padded, WINDOW)[half:-half, half:-half]
    background = Image.fromarray(median).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(background, np.float32)


def _smooth(grey: Grey) -> Grey:
    """Return the mean of three by three pixels.

    Not by `uniform_filter`: its running sums leave residues where the mean is 0.
    """
    return np.asarray(ndimage.convolve(grey, np.ones((3, 3)), mode="nearest") / 9, np.float32)


def _touches_border(region: Region, contrast: Grey) -> bool:
    return bool(region.min() == 0 or (region.max(0) == np.array(contrast.shape) - 1).any())


def _select_sharp(regions: list[Region], contrast: Grey) -> list[Region]:
    """Return the regions that are large enough and have an edge: light changes slowly, what is
    drawn within few pixels."""
    far = 3 if contrast.size > SMALL else 1
    weights = [-1, *[0] * (2 * far - 1), 1]
    down = ndimage.correlate1d(contrast, weights, axis=0, mode="nearest")
    right = ndimage.correlate1d(contrast, weights, axis=1, mode="nearest")
    slope = np.hypot(down, right)
    min_size = MIN_SIZE * max(contrast.shape)
    sharp = []
    for region in regions:
        if np.ptp(region, axis=0).max() + 1 < min_size:
            continue
        pixels = region[:, 0], region[:, 1]
        # Not the maximum, which is noise; few of a thick line's pixels are at its edge.
        if np.quantile(slope[pixels], 0.95) >= SHARP * np.quantile(contrast[pixels], 0.95):
            sharp.append(region)
    return sharp


def _merge_near(regions: list[Region], contrast: Grey) -> Grey:
    """Return the contrast of the largest region and of those near it, 0 elsewhere."""
    if not regions:
        return np.zeros_like(contrast)
    largest = max(regions, key=len)
    top, bottom = largest.min(0), largest.max(0)
    reach = FAR * float((bottom - top + 1).max())
    near = [
        region
        for region in regions
        if len(region) >= SPECK * len(largest)
        and np.maximum(region.min(0) - bottom, top - region.max(0)).max() <= reach
    ]
    # One pixel wider on all sides: a line's soft edge belongs to it.
    mask = _dilate(_to_mask(near, contrast), 1)
    return np.where(mask, contrast.clip(0), np.float32(0))


def _to_mask(regions: list[Region], contrast: Grey) -> Mask:
    mask = np.zeros(contrast.shape, bool)
    for region in regions:
        mask[region[:, 0], region[:, 1]] = True
    return mask


def _find_regions(contrast: Grey, low: float, high: float) -> list[Region]:
    """Return the connected regions of pixels above `low` that have one above `high`."""
    labels, _ = ndimage.label(contrast >= low, np.ones((3, 3)))
    indices = ndimage.value_indices(labels, ignore_value=0)
    strong = dict.fromkeys(labels[contrast >= high].tolist())  # in the order of their pixels
    return [np.stack(indices[label], 1) for label in strong]


def _dilate(mask: Mask, pixels: int) -> Mask:
    """Make a mask wider by so many pixels on all sides."""
    return np.asarray(ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=pixels))
