"""Image files of all kinds are opened; other files are refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.errors import DataError
from harness.inference.image_io import MAX_SIDE, find_images, open_image, to_grey

HALVES = Image.fromarray(np.repeat(np.array([[0], [255]], np.uint8), 8, 0).repeat(10, 1))
"""10 wide, 16 high, the upper half black."""


def test_a_turned_photograph_is_rotated_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned: its top is on the right
    HALVES.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(to_grey(open_image(tmp_path / "turned.png")), to_grey(HALVES))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "CMYK"])
def test_every_mode_gives_the_same_grey(tmp_path: Path, mode: str) -> None:
    image = HALVES.convert("RGB").convert(mode) if mode != "I;16" else None
    if image is None:
        image = Image.fromarray(np.asarray(HALVES).astype(np.uint16) * 257)
        assert image.mode == "I;16"
    path = tmp_path / ("it.tif" if mode == "CMYK" else "it.png")
    image.save(path)
    np.testing.assert_allclose(to_grey(open_image(path)), to_grey(HALVES), atol=1)


@pytest.mark.parametrize("ink", [0, 255])
def test_a_transparent_background_contrasts_with_the_drawing(tmp_path: Path, ink: int) -> None:
    values = np.zeros((9, 9, 4), np.uint8)
    values[3:6, 3:6] = (ink, ink, ink, 255)
    Image.fromarray(values, "RGBA").save(tmp_path / "it.png")
    grey = to_grey(open_image(tmp_path / "it.png"))
    assert (grey[4, 4], grey[0, 0]) == (ink, 255 - ink)


def test_a_large_image_is_reduced(tmp_path: Path) -> None:
    Image.new("L", (3000, 1500)).save(tmp_path / "large.jpg")
    assert open_image(tmp_path / "large.jpg").size == (MAX_SIDE, MAX_SIDE // 2)


def test_the_error_names_a_file_that_is_not_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    HALVES.resize((300, 300)).save(tmp_path / "large.png")
    content = (tmp_path / "large.png").read_bytes()
    wrong = {
        "text.png": (b"not a picture", "not a readable image"),
        "empty.jpg": (b"", "not a readable image"),
        "cut.png": (content[: len(content) // 2], "not a readable image .*truncated"),
        "drawing.eps": (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "EPS images are not supported",
        ),
    }
    for name, (damaged, message) in wrong.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(DataError, match=rf"{name}: {message}"):
            open_image(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"large.png: has more than 1,000 pixels"):
        open_image(tmp_path / "large.png")


def test_a_folder_is_replaced_by_the_images_in_it(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", ".hidden.png", "notes.txt", "ü <b>.jpeg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "deeper").mkdir()
    names = ["notes.txt", "", "deeper", "absent.png", "a\0b"]
    files, errors = find_images([*(str(tmp_path / name) for name in names)])
    assert [path.name for path in files] == ["notes.txt", "a.jpg", "b.PNG", "ü <b>.jpeg"]
    for error, message in zip(
        errors,
        (
            "deeper: there is no image in this folder",
            "absent.png: cannot be read (No such file",
            "cannot be read (embedded null byte)",
        ),
        strict=True,
    ):
        assert message in error
    if os.geteuid():
        (tmp_path / "a.jpg").chmod(0)
        with pytest.raises(DataError, match=r"a.jpg: cannot be read \(Permission denied\)"):
            open_image(tmp_path / "a.jpg")
