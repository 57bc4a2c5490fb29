"""A folder of pictures by class as data: formats, colours, sizes, parts, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.config.loader import load
from harness.data.prepare import PreparedDataset, prepare
from harness.data.torch_datasets import SealedTest, load_splits
from harness.errors import DataError
from harness.search.open_study import open_search

CLASSES = ("bar", "dot", "nothing at all")
EACH = 12


def picture(seed: int, height: int = 9, width: int = 7) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def fill(folder: Path, each: int = EACH, suffix: str = ".png") -> Path:
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(each):
            image = Image.fromarray(picture(100 * number + index))
            image.save(folder / name / f"{index}{suffix}")
    return folder


def make(path: Path | str, cache: Path, **changes: Any) -> PreparedDataset:
    options = {"validation": 0.25, "test": 0.25, "split_seed": 0, "normalize": True}
    return prepare(str(path), cache=cache, **(options | changes))


def everything(prepared: PreparedDataset) -> list[tuple[bytes, int]]:
    """(input, label) of all parts."""
    files, test = prepared.training, SealedTest.of(prepared).open()
    inputs, labels = np.load(files.inputs), np.load(files.labels)
    both = [*zip(inputs, labels, strict=True)]
    both += [*zip(test.inputs.numpy(), test.labels.numpy(), strict=True)]
    return [(each.tobytes(), int(label)) for each, label in both]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "photos")


def test_a_class_is_a_folder_and_every_picture_comes_back(photos: Path, tmp_path: Path) -> None:
    (photos / ".thumbnails").mkdir()
    (photos / "bar" / "notes.txt").write_text("no picture")
    prepared = make(photos, tmp_path / "cache")
    assert prepared.training.classes == CLASSES
    assert (prepared.training.shape, prepared.training.dtype) == ((9, 7), "uint8")
    assert prepared.sizes == {"train": 20, "validation": 7, "test": 9}
    expected = [
        (picture(100 * number + index).tobytes(), number)
        for number in range(3)
        for index in range(EACH)
    ]
    assert sorted(everything(prepared)) == sorted(expected)
    assert prepared.data_quality.parts["test"].by_class == (3, 3, 3)
    splits = load_splits(prepared.training)
    assert splits.mean.unique().numel() == 1, "one mean for all of a picture"


def test_one_picture_with_a_colour_makes_all_of_them_coloured(photos: Path, tmp_path: Path) -> None:
    colours = np.stack([picture(1), picture(2), picture(3)], -1)
    Image.fromarray(colours).save(photos / "dot" / "colour.png")
    Image.fromarray(picture(7)).convert("RGB").save(photos / "dot" / "0.png")  # grey all the same
    prepared = make(photos, tmp_path / "cache")
    assert prepared.training.shape == (3, 9, 7)
    found = everything(prepared)
    assert (np.moveaxis(colours, -1, 0).tobytes(), 1) in found
    assert (picture(7).tobytes() * 3, 1) in found


def test_pictures_of_every_kind_are_read_as_they_are_seen(tmp_path: Path) -> None:
    """16 bits, a palette, a transparent ground, a picture that lies on its side."""
    folder = fill(tmp_path / "photos") / "dot"
    grey, wanted = picture(500), []
    Image.fromarray(grey.astype(np.uint16) * 256 + 3).save(folder / "deep.png")
    wanted.append(grey)
    Image.fromarray(picture(501)).convert("P").save(folder / "palette.png")
    wanted.append(picture(501))
    clear = np.zeros((9, 7, 4), np.uint8)
    clear[3, 3, 3] = 255  # one black dot on nothing
    Image.fromarray(clear).save(folder / "clear.png")
    wanted.append(np.where(clear[..., 3] == 255, 0, 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(np.rot90(picture(502))).save(folder / "turned.png", exif=exif)
    wanted.append(picture(502))
    found = everything(make(folder.parent, tmp_path / "cache"))
    for number, each in enumerate(wanted):
        assert (each.tobytes(), 1) in found, number


def test_a_test_folder_is_the_test_part(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    fill(photos / "train")
    fill(photos / "val", 2)
    shutil.rmtree(fill(photos / "test", 3) / "nothing at all")
    prepared = make(photos, tmp_path / "cache")
    assert prepared.sizes == {"train": 31, "validation": 11, "test": 6}
    assert prepared.data_quality.parts["test"].by_class == (3, 3, 0)
    test = SealedTest.of(prepared).open()
    assert test.inputs[3].numpy().tobytes() == picture(100).tobytes()
    assert make(photos, tmp_path / "cache", own_test=False).sizes["test"] == 11
    (photos / "test" / "new").mkdir()
    (photos / "test" / "dot" / "0.png").rename(photos / "test" / "new" / "0.png")
    with pytest.raises(DataError, match="class 'new' is in the test set but not in the training set"):
        make(photos, tmp_path / "cache")


def test_a_size_brings_all_to_one(photos: Path, tmp_path: Path) -> None:
    Image.fromarray(picture(1, 20, 30)).save(photos / "dot" / "large.png")
    with pytest.raises(DataError, match=r"\[data\] size: .* of 2 sizes") as caught:
        make(photos, tmp_path / "cache")
    said = str(caught.value)
    assert "9x7 as bar/0.png (36), 20x30 as dot/large.png (1); size = [9, 7] resizes" in said
    prepared = make(photos, tmp_path / "cache", size=[6, 8])
    assert prepared.training.shape == (6, 8)
    assert prepared.split_hash != make(photos, tmp_path / "cache", size=[8, 6]).split_hash


def test_a_relative_path_begins_here_or_where_the_other_sets_lie(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, there = tmp_path / "cache", make(photos, tmp_path / "cache")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no dataset 'photos'"):
        make("photos", cache)
    with pytest.raises(
        DataError, match=r"no file or folder .*elsewhere/\./photos|elsewhere/photos"
    ):
        make("./photos", cache)
    assert make("./photos", cache, data_dir=tmp_path).split_hash == there.split_hash
    monkeypatch.setenv("HOME", str(tmp_path))
    assert make("~/photos", cache).split_hash == there.split_hash
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "./photos", "photos/"):
        found = make(name, cache)
        assert (found.split_hash, found.name) == (there.split_hash, name)
        assert found.training.inputs.parents[1].name.startswith("photos-")


def test_a_study_whose_pictures_changed_is_refused(photos: Path, tmp_path: Path) -> None:
    config = load("quickstart", [f"data.name={photos}"])
    before = make(photos, tmp_path / "cache").split_hash
    with open_search(config, tmp_path / "journals", split=before):
        pass
    with open_search(config, tmp_path / "journals", split=before):
        pass
    Image.fromarray(picture(999)).save(photos / "dot" / "0.png")
    after = make(photos, tmp_path / "cache").split_hash
    with (
        pytest.raises(Exception, match=f"on other data: .*{before[:16]}, now it is {after[:16]}"),
        open_search(config, tmp_path / "journals", split=after),
    ):
        pass


def spoil(photos: Path, how: str) -> None:
    good = photos / "dot" / "3.png"
    match how:
        case "cut":
            good.write_bytes(good.read_bytes()[:-30])
        case "a text":
            good.write_text("no picture")
        case "nothing":
            good.write_bytes(b"")
        case "a telephone's":
            good.rename(good.with_suffix(".heic"))
        case "a class without":
            for each in (photos / "dot").iterdir():
                each.unlink()
        case "a class with one":
            for each in [*(photos / "dot").iterdir()][1:]:
                each.unlink()
        case "one class":
            for name in CLASSES[1:]:
                shutil.rmtree(photos / name)
        case "no classes":
            for name in CLASSES:
                shutil.rmtree(photos / name)
            Image.fromarray(picture(1)).save(photos / "1.png")


MESSAGES = {
    "cut": r"dot/3\.png: not a readable picture \(image file is truncated",
    "a text": r"dot/3\.png: not a readable picture \(cannot identify image file\)",
    "nothing": r"dot/3\.png: not a readable picture",
    "a telephone's": r"dot/3\.heic: \.heic pictures are not supported; save it as PNG",
    "a class without": "class 'dot' has no picture",
    "a class with one": r"class 'dot' has one example .* leave it out by \[data\] classes",
    "one class": r"has only one class \(bar\)",
    "no classes": "a folder with no classes; put the pictures of each class into a folder",
}


@pytest.mark.parametrize("how", MESSAGES)
def test_a_spoilt_folder_is_refused_in_a_line(photos: Path, tmp_path: Path, how: str) -> None:
    spoil(photos, how)
    with pytest.raises(DataError, match=MESSAGES[how]) as caught:
        make(photos, tmp_path / "cache")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "x"}, r"\[data\] target: .* is a folder of pictures, which has none"),
        ({"task": "regression"}, r"\[data\] task: .* is a folder of pictures, which has classes"),
        ({"size": [100_000, 100_000]}, r"\[data\] size: .* too many pixels for memory"),
    ],
)
def test_what_is_asked_of_pictures_is_checked(
    photos: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        make(photos, tmp_path / "cache", **changes)


def test_known_sets_take_no_keys_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\[data\] target: is for data of your own, not for digit"):
        make("digits", tmp_path, target="x")
