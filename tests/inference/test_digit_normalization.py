"""Drawings and photographs of digits are normalized as MNIST and NIST did."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from harness.inference.digit_normalization import (
    DARK,
    LIGHT,
    THICK,
    line_thickness,
    normalize_digit,
)
from harness.inference.foreground import Grey, find_foreground
from tests.support.handwritten_digits import draw_digit, photograph_digit

MNIST, NIST = (28, 28), (8, 8)


def grey(image: Image.Image) -> Grey:
    return np.asarray(image.convert("L"), np.float32)


def draw_two(
    size: tuple[int, int], corner: tuple[int, int], tall: int, pen: int, paper: int = 0
) -> Image.Image:
    """Draw a two: light on dark, or dark on light if `paper` is 255."""
    image = Image.new("L", size, paper)
    points = [(0.1, 0.2), (0.5, 0.0), (0.8, 0.3), (0.1, 1.0), (0.9, 1.0)]
    at = [(corner[0] + x * tall, corner[1] + y * tall) for x, y in points]
    ImageDraw.Draw(image).line(at, fill=255 - paper, width=pen, joint="curve")
    return image


def normalize(image: Image.Image, shape: tuple[int, int] = MNIST) -> Grey:
    result = normalize_digit(grey(image), shape, "mnist" if shape == MNIST else "nist")
    assert result is not None
    return result[0]


def test_digits_have_the_size_place_and_thickness_of_mnist() -> None:
    rng = np.random.default_rng(1)
    for digit in range(10):
        image = normalize(draw_digit(digit, rng))
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        longer = max(np.ptp(rows), np.ptp(columns)) + 1
        assert longer == 20, digit
        for axis in (0, 1):
            along = image.sum(1 - axis)
            assert (along * np.arange(28)).sum() / along.sum() == pytest.approx(14, abs=0.6)
        assert image.max() > 0.95
        assert image[0].max() == image[-1].max() == 0
        # For any pen; the ends of a one count too.
        assert 1.8 < line_thickness(image) < THICK * 28 + 0.2


def test_digits_in_nist_style_fill_all_rows_and_have_the_same_amount_of_ink() -> None:
    rng = np.random.default_rng(1)
    for digit in range(10):
        image = normalize(draw_digit(digit, rng), NIST)
        assert image.any(1).all(), digit
        assert image.any(0).sum() <= 6
        assert LIGHT - 0.05 < image.mean() < DARK + 0.05


def test_dark_on_light_and_light_on_dark_are_the_same() -> None:
    black, white = (
        draw_two((300, 200), (60, 30), 100, 9),
        draw_two((300, 200), (60, 30), 100, 9, 255),
    )
    (first, was_dark), (second, was_light) = (
        normalize_digit(grey(image), MNIST) or pytest.fail("nothing found")
        for image in (white, black)
    )
    assert (was_dark, was_light) == (True, False)
    np.testing.assert_allclose(first, second, atol=0.02)


def test_size_place_and_pen_matter_little() -> None:
    usual = normalize(draw_two((300, 200), (60, 30), 100, 9))
    np.testing.assert_array_equal(usual, normalize(draw_two((500, 400), (360, 230), 100, 9)))
    for other in (
        draw_two((1000, 1000), (40, 500), 400, 36),
        draw_two((90, 70), (20, 10), 50, 5),
        draw_two((600, 600), (60, 30), 400, 4),
        draw_two((600, 600), (100, 100), 400, 70),
    ):
        image = normalize(other)
        assert np.abs(image - usual).mean() < 0.05
        assert np.corrcoef(image.ravel(), usual.ravel())[0, 1] > 0.8


def test_a_normalized_digit_is_not_changed_much() -> None:
    once = normalize(draw_two((300, 200), (60, 30), 100, 9))
    twice = normalize_digit(np.round(once * 255), MNIST)
    assert twice is not None
    assert np.abs(twice[0] - once).mean() < 0.03


@pytest.mark.parametrize("thick", [2, 5, 11])
def test_line_thickness_of_a_bar(thick: int) -> None:
    bar = np.zeros((60, 200), np.float32)
    bar[20 : 20 + thick, 10:190] = 1
    assert line_thickness(bar) == pytest.approx(thick, rel=0.15)


def make_empty_sheet(rng: np.random.Generator) -> Grey:
    """Make an empty sheet of paper in uneven light, with grain."""
    down, right = np.mgrid[:600, :800] / 800
    light = 230 - 90 * right - 30 * down - 50 / (1 + np.exp((0.4 - down) / 0.03))
    return (light + rng.normal(0, 4, light.shape)).clip(0, 255).astype(np.float32)


def test_nothing_is_found_on_an_empty_image() -> None:
    rng = np.random.default_rng(0)
    for empty in (
        np.zeros((50, 40)),
        np.full((50, 40), 255.0),
        np.full((1, 1), 7.0),
        make_empty_sheet(rng),
    ):
        assert find_foreground(empty.astype(np.float32)) is None
    photographed = Image.open(io.BytesIO(photograph_digit(None, rng)))
    assert find_foreground(grey(photographed)) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3), (3, 700), (28, 28), (8, 8)], ids=str)
def test_odd_sizes_are_accepted(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    for size in (MNIST, NIST, (14, 20), (32, 32)):
        for style in ("mnist", "nist"):
            result = normalize_digit(noise, size, style)  # type: ignore[arg-type]
            if result is not None:
                assert result[0].shape == size
                assert 0 <= result[0].min() <= result[0].max() <= 1


def test_dirt_and_the_edge_of_the_paper_are_left_out() -> None:
    alone = draw_two((400, 400), (120, 100), 180, 12, 255)
    usual = normalize(alone)
    dirty = alone.copy()
    draw = ImageDraw.Draw(dirty)
    draw.ellipse((20, 350, 26, 356), fill=0)  # a crumb
    draw.polygon([(330, 0), (400, 0), (400, 160)], fill=40)  # the table next to the sheet
    np.testing.assert_allclose(normalize(dirty), usual, atol=0.1)


def test_a_shadow_across_it_changes_little() -> None:
    page = grey(draw_two((600, 600), (200, 200), 200, 14, 255)) * 0.9 + 10
    shadow = np.where(np.arange(600) < 300, 1.0, 0.45).astype(np.float32)
    shadow = np.convolve(np.pad(shadow, 20, mode="edge"), np.ones(41) / 41, "valid")
    plain, dim = (
        normalize_digit(image.astype(np.float32), MNIST) for image in (page, page * shadow)
    )
    assert plain is not None
    assert dim is not None
    assert np.corrcoef(plain[0].ravel(), dim[0].ravel())[0, 1] > 0.95
