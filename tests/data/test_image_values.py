"""Every mode and depth of an image becomes the right 8 bits, for training and for predicting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.data import image_folder
from harness.data.image_values import ValueRanges, measure_ranges
from harness.errors import DataError
from harness.inference.image_io import open_image, to_grey

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
"""All values that 8 bits have."""
Maker = Any


def make_palette() -> Image.Image:
    image = Image.fromarray(255 - GREY).convert("P")
    palette = np.repeat(np.arange(256, dtype=np.uint8)[::-1], 3)
    image = Image.fromarray(255 - GREY, "P") if image.mode != "P" else image
    image.putdata(list((255 - GREY).ravel()))
    image.putpalette(palette.tolist())
    return image


def make_alpha(mode: str) -> Image.Image:
    """An image whose transparent pixels have a colour that nobody sees."""
    image = Image.fromarray(GREY).convert(mode)
    image.putalpha(255)
    return image


MODES: dict[str, tuple[Maker, str, int]] = {
    "1": (lambda: Image.fromarray(GREY).convert("1", dither=Image.Dither.NONE), "png", 127),
    "L": (lambda: Image.fromarray(GREY), "png", 0),
    "P": (make_palette, "png", 0),
    "RGB": (lambda: Image.fromarray(GREY).convert("RGB"), "bmp", 0),
    "RGBA": (lambda: make_alpha("RGBA"), "png", 0),
    "LA": (lambda: make_alpha("LA"), "png", 0),
    "CMYK": (lambda: Image.fromarray(GREY).convert("RGB").convert("CMYK"), "tif", 1),
    "YCbCr": (lambda: Image.fromarray(GREY).convert("RGB").convert("YCbCr"), "tif", 2),
    "LAB": (lambda: Image.new("LAB", (16, 16), (128, 0, 0)), "tif", 255),
    "16 bits PNG": (lambda: Image.fromarray(GREY.astype(np.uint16) * 257), "png", 0),
    "16 bits TIFF": (lambda: Image.fromarray(GREY.astype(np.uint16) * 257), "tif", 0),
    "12 bits": (lambda: Image.fromarray(GREY.astype(np.uint16) * 16 + 15), "tif", 0),
    "8 of 16 bits": (lambda: Image.fromarray(GREY.astype(np.uint16)), "png", 0),
    "16 bits PGM": (lambda: Image.fromarray(GREY.astype(np.uint16) * 257), "pgm", 0),
    "32 bits": (lambda: Image.fromarray(GREY.astype(np.int32) * 2**23), "tif", 0),
    "0 to 1": (lambda: Image.fromarray((GREY / 255).astype(np.float32)), "tif", 0),
    "0 to 255": (lambda: Image.fromarray(GREY.astype(np.float32)), "tif", 0),
    "-1 to 1": (lambda: Image.fromarray((GREY / 127.5 - 1).astype(np.float32)), "tif", 0),
    "any floats": (lambda: Image.fromarray((GREY * 7.0 - 300).astype(np.float32)), "tif", 0),
    "signed": (lambda: Image.fromarray(GREY.astype(np.int32) - 100), "tif", 0),
    "WebP": (lambda: Image.fromarray(GREY), "webp", 3),
}


def read(path: Path) -> npt.NDArray[Any]:
    folder = image_folder.ImageFolder(({"class": [path]},), ())
    return image_folder.decode(folder, "photos", ()).inputs[0]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_read_to_the_same_values(tmp_path: Path, mode: str) -> None:
    make, suffix, tolerance = MODES[mode]
    path = tmp_path / f"it.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    make().save(path, **options)
    values = read(path)
    values = values if values.ndim == 2 else values[1]
    np.testing.assert_allclose(values.astype(int), GREY, atol=tolerance)
    np.testing.assert_array_equal(to_grey(open_image(path)).round(), read_grey(path))


def read_grey(path: Path) -> npt.NDArray[Any]:
    """The brightness of an image as it is read for training."""
    values = read(path)
    image = Image.fromarray(values if values.ndim == 2 else values.transpose(1, 2, 0))
    return np.asarray(image.convert("L"), np.float32)


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.integers(0, 2**16 - 1), min_size=4, max_size=4),
    kind=st.sampled_from(["uint16", "int32", "float32"]),
    orientation=st.integers(1, 8),
)
def test_order_and_range_survive(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], kind: str, orientation: int
) -> None:
    """A larger value never becomes a smaller one, the extremes fill at most 0 to 255, and a
    picture is read for training and for predicting alike, turned by its EXIF data."""
    # Pillow turns a TIFF by itself when it reads it; only PNG has 16 bits and is not turned.
    path = tmp_path_factory.mktemp("deep") / ("it.png" if kind == "uint16" else "it.tif")
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.array(values).reshape(2, 2).astype(kind)).save(path, exif=exif)
    read_values = read(path)
    np.testing.assert_array_equal(read_values, to_grey(open_image(path)))
    upright = Image.fromarray(np.array(values, np.int32).reshape(2, 2))
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }  # fmt: skip
    if orientation in turn:
        upright = upright.transpose(turn[orientation])
    original = np.asarray(upright).ravel()
    order = np.argsort(original, kind="stable")
    assert (np.diff(read_values.ravel()[order].astype(int)) >= 0).all()
    largest = max(values)
    expected = largest * 255 / measure_range(path)
    assert abs(int(read_values.max()) - expected) <= 1


def measure_range(path: Path) -> float:
    ranges = measure_ranges([path])
    return (ranges.float_range if ranges.floats else ranges.integer_range)[1]


def test_one_scale_holds_for_a_whole_folder_and_for_predicting(tmp_path: Path) -> None:
    """A dark image of 12 bits stays dark beside a bright one, and so it does in `predict`."""
    dark, bright = tmp_path / "dark.tif", tmp_path / "bright.tif"
    Image.fromarray(np.full((4, 4), 160, np.uint16)).save(dark)
    Image.fromarray(np.full((4, 4), 4095, np.uint16)).save(bright)
    folder = image_folder.ImageFolder(({"class": [dark, bright]},), ())
    arrays = image_folder.decode(folder, "photos", ())
    assert arrays.inputs[:, 0, 0].tolist() == [10, 255]
    assert arrays.values == ("integers 0 to 4095",)
    assert arrays.notes[0].endswith("save them with 8 bits"), "nothing transparent is here"
    assert "integers 0 to 4095" in arrays.notes[0]
    ranges = ValueRanges.read(", ".join(arrays.values))
    assert to_grey(open_image(dark, ranges))[0, 0] == 10
    assert to_grey(open_image(dark))[0, 0] == 160, "alone, it could have 8 bits"


@pytest.mark.parametrize("ink", [0, 255])
def test_light_drawings_are_laid_on_black(tmp_path: Path, ink: int) -> None:
    values = np.zeros((9, 9, 4), np.uint8)
    values[3:6, 3:6] = (ink, ink, ink, 255)
    Image.fromarray(values, "RGBA").save(tmp_path / "it.png")
    image = read(tmp_path / "it.png")
    assert (image[4, 4], image[0, 0]) == (ink, 255 - ink)
    folder = image_folder.ImageFolder(({"class": [tmp_path / "it.png"]},), ())
    (note,) = image_folder.decode(folder, "photos", ()).notes
    background = "black" if ink else "white"
    assert note.startswith(f"photos: transparent images are laid on {background}; for another")


def test_an_animation_is_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (40, 200)]
    frames[0].save(tmp_path / "it.gif", save_all=True, append_images=frames[1:])
    assert read(tmp_path / "it.gif").tolist() == np.full((4, 4), 40).tolist()


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.5, np.nan]], np.float32)).save(tmp_path / "it.tif")
    with pytest.raises(DataError, match=r"it.tif: not a readable image \(it has values that are"):
        read(tmp_path / "it.tif")
    with pytest.raises(DataError, match="not finite"):
        open_image(tmp_path / "it.tif")
