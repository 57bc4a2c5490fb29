"""A drawing or a photograph becomes what MNIST and NIST's forms have."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from harness.inference.digit_normalization import (
    DARK,
    LIGHT,
    THICK,
    normalize_digit,
    line_thickness,
)
from harness.inference.foreground import Grey, find_foreground
from tests.support.handwritten_digits import drawing, photograph

MNIST, NIST = (28, 28), (8, 8)


def grey(picture: Image.Image) -> Grey:
    return np.asarray(picture.convert("L"), np.float32)


def two(
    size: tuple[int, int], corner: tuple[int, int], tall: int, pen: int, paper: int = 0
) -> Image.Image:
    """A two of lines, light on dark, or dark on light where the paper is."""
    picture = Image.new("L", size, paper)
    points = [(0.1, 0.2), (0.5, 0.0), (0.8, 0.3), (0.1, 1.0), (0.9, 1.0)]
    at = [(corner[0] + x * tall, corner[1] + y * tall) for x, y in points]
    ImageDraw.Draw(picture).line(at, fill=255 - paper, width=pen, joint="curve")
    return picture


def seen(picture: Image.Image, shape: tuple[int, int] = MNIST) -> Grey:
    found = normalize_digit(grey(picture), shape, "mnist" if shape == MNIST else "nist")
    assert found is not None
    return found[0]


def test_it_stands_as_mnist_has_it() -> None:
    rng = np.random.default_rng(1)
    for digit in range(10):
        made = seen(drawing(digit, rng))
        rows, columns = np.flatnonzero(made.any(1)), np.flatnonzero(made.any(0))
        longer = max(np.ptp(rows), np.ptp(columns)) + 1
        assert longer == 20, digit
        for axis in (0, 1):
            along = made.sum(1 - axis)
            assert (along * np.arange(28)).sum() / along.sum() == pytest.approx(14, abs=0.6)
        assert made.max() > 0.95
        assert made[0].max() == made[-1].max() == 0
        assert (
            1.8 < line_thickness(made) < THICK * 28 + 0.2
        )  # whatever the pen; a one's ends count too


def test_the_digits_of_nist_fill_all_rows_and_have_as_much_ink_each() -> None:
    rng = np.random.default_rng(1)
    for digit in range(10):
        made = seen(drawing(digit, rng), NIST)
        assert made.any(1).all(), digit
        assert made.any(0).sum() <= 6
        assert LIGHT - 0.05 < made.mean() < DARK + 0.05


def test_dark_on_light_and_light_on_dark_are_the_same() -> None:
    black, white = two((300, 200), (60, 30), 100, 9), two((300, 200), (60, 30), 100, 9, 255)
    (first, was_dark), (second, was_light) = (
        normalize_digit(grey(each), MNIST) or pytest.fail("nothing found")
        for each in (white, black)
    )
    assert (was_dark, was_light) == (True, False)
    np.testing.assert_allclose(first, second, atol=0.02)


def test_size_place_and_pen_matter_little() -> None:
    usual = seen(two((300, 200), (60, 30), 100, 9))
    np.testing.assert_array_equal(usual, seen(two((500, 400), (360, 230), 100, 9)))
    for other in (
        two((1000, 1000), (40, 500), 400, 36),
        two((90, 70), (20, 10), 50, 5),
        two((600, 600), (60, 30), 400, 4),
        two((600, 600), (100, 100), 400, 70),
    ):
        made = seen(other)
        assert np.abs(made - usual).mean() < 0.05
        assert np.corrcoef(made.ravel(), usual.ravel())[0, 1] > 0.8


def test_what_was_prepared_before_stays_as_it_is() -> None:
    once = seen(two((300, 200), (60, 30), 100, 9))
    again = normalize_digit(np.round(once * 255), MNIST)
    assert again is not None
    assert np.abs(again[0] - once).mean() < 0.03


@pytest.mark.parametrize("thick", [2, 5, 11])
def test_the_thickness_of_a_bar_is_its_own(thick: int) -> None:
    bar = np.zeros((60, 200), np.float32)
    bar[20 : 20 + thick, 10:190] = 1
    assert line_thickness(bar) == pytest.approx(thick, rel=0.15)


def sheet(rng: np.random.Generator) -> Grey:
    """An empty one in uneven light, with grain."""
    down, right = np.mgrid[:600, :800] / 800
    light = 230 - 90 * right - 30 * down - 50 / (1 + np.exp((0.4 - down) / 0.03))
    return (light + rng.normal(0, 4, light.shape)).clip(0, 255).astype(np.float32)


def test_where_nothing_is_drawn_nothing_is_found() -> None:
    rng = np.random.default_rng(0)
    for empty in (np.zeros((50, 40)), np.full((50, 40), 255.0), np.full((1, 1), 7.0), sheet(rng)):
        assert find_foreground(empty.astype(np.float32)) is None
    photographed = Image.open(io.BytesIO(photograph(None, rng)))
    assert find_foreground(grey(photographed)) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3), (3, 700), (28, 28), (8, 8)], ids=str)
def test_odd_sizes_do_no_harm(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    for size in (MNIST, NIST, (14, 20), (32, 32)):
        for style in ("mnist", "nist"):
            found = normalize_digit(noise, size, style)  # type: ignore[arg-type]
            if found is not None:
                assert found[0].shape == size
                assert 0 <= found[0].min() <= found[0].max() <= 1


def test_dirt_and_the_edge_of_the_paper_are_left_out() -> None:
    alone = two((400, 400), (120, 100), 180, 12, 255)
    usual = seen(alone)
    spoilt = alone.copy()
    draw = ImageDraw.Draw(spoilt)
    draw.ellipse((20, 350, 26, 356), fill=0)  # a crumb
    draw.polygon([(330, 0), (400, 0), (400, 160)], fill=40)  # the table beside the sheet
    np.testing.assert_allclose(seen(spoilt), usual, atol=0.1)


def test_a_shadow_across_it_changes_little() -> None:
    page = grey(two((600, 600), (200, 200), 200, 14, 255)) * 0.9 + 10
    shadow = np.where(np.arange(600) < 300, 1.0, 0.45).astype(np.float32)
    shadow = np.convolve(np.pad(shadow, 20, mode="edge"), np.ones(41) / 41, "valid")
    plain, dim = (normalize_digit(each.astype(np.float32), MNIST) for each in (page, page * shadow))
    assert plain is not None
    assert dim is not None
    assert np.corrcoef(plain[0].ravel(), dim[0].ravel())[0, 1] > 0.95
