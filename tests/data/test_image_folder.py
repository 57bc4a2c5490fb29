"""A folder of images by class: formats, colours, sizes, test folders, and errors."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.config.loader import load
from harness.data.prepare import PreparedDataset, prepare
from harness.data.torch_datasets import load_splits
from harness.errors import DataError
from harness.search.open_study import open_search
from tests.support.sealed_test_set import open_test_set, read_test_labels

CLASSES = ("bar", "dot", "nothing at all")
COUNT = 12
OWN: dict[str, Any] = {"own_validation": True}


def make_image(seed: int, height: int = 9, width: int = 7) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def fill(folder: Path, count: int = COUNT, suffix: str = ".png") -> Path:
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image = Image.fromarray(make_image(100 * number + index))
            image.save(folder / name / f"{index}{suffix}")
    return folder


def make(path: Path | str, cache: Path, **changes: Any) -> PreparedDataset:
    options = {"validation": 0.25, "test": 0.25, "split_seed": 0, "normalize": True}
    return prepare(str(path), cache=cache, **(options | changes))


def list_examples(prepared: PreparedDataset) -> list[tuple[bytes, int]]:
    """Return (input, label) of the training, validation and test set."""
    files, test = prepared.training, open_test_set(prepared)
    inputs, labels = np.load(files.inputs), np.load(files.labels)
    examples = [*zip(inputs, labels, strict=True)]
    examples += [*zip(test.inputs.numpy(), test.labels.numpy(), strict=True)]
    return [(image.tobytes(), int(label)) for image, label in examples]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "photos")


def test_a_class_is_a_folder_and_every_image_is_read(photos: Path, tmp_path: Path) -> None:
    (photos / ".thumbnails").mkdir()
    (photos / "bar" / "notes.txt").write_text("no picture")
    prepared = make(photos, tmp_path / "cache")
    assert prepared.training.classes == CLASSES
    assert (prepared.training.shape, prepared.training.dtype) == ((9, 7), "uint8")
    assert prepared.sizes == {"train": 20, "validation": 7, "test": 9}
    expected = [
        (make_image(100 * number + index).tobytes(), number)
        for number in range(3)
        for index in range(COUNT)
    ]
    assert sorted(list_examples(prepared)) == sorted(expected)
    assert np.bincount(read_test_labels(prepared)).tolist() == [3, 3, 3]
    splits = load_splits(prepared.training)
    assert splits.mean.unique().numel() == 1, "one mean for all of a picture"


def test_one_colour_image_makes_all_of_them_rgb(photos: Path, tmp_path: Path) -> None:
    colours = np.stack([make_image(1), make_image(2), make_image(3)], -1)
    Image.fromarray(colours).save(photos / "dot" / "colour.png")
    Image.fromarray(make_image(7)).convert("RGB").save(
        photos / "dot" / "0.png"
    )  # grey all the same
    prepared = make(photos, tmp_path / "cache")
    assert prepared.training.shape == (3, 9, 7)
    examples = list_examples(prepared)
    assert (np.moveaxis(colours, -1, 0).tobytes(), 1) in examples
    assert (make_image(7).tobytes() * 3, 1) in examples


def test_image_modes_are_read_as_a_viewer_shows_them(tmp_path: Path) -> None:
    """16 bits, a palette, a transparent background, an image turned by its EXIF data."""
    folder = fill(tmp_path / "photos") / "dot"
    grey, expected = make_image(500), []
    Image.fromarray(grey.astype(np.uint16) * 256 + 3).save(folder / "deep.png")
    expected.append(grey)
    Image.fromarray(make_image(501)).convert("P").save(folder / "palette.png")
    expected.append(make_image(501))
    clear = np.zeros((9, 7, 4), np.uint8)
    clear[3, 3, 3] = 255  # one black dot, transparent elsewhere
    Image.fromarray(clear).save(folder / "clear.png")
    expected.append(np.where(clear[..., 3] == 255, 0, 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(np.rot90(make_image(502))).save(folder / "turned.png", exif=exif)
    expected.append(make_image(502))
    examples = list_examples(make(folder.parent, tmp_path / "cache"))
    for number, image in enumerate(expected):
        assert (image.tobytes(), 1) in examples, number


def test_a_test_folder_is_the_test_set(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    fill(photos / "train")
    fill(photos / "val", 2)
    shutil.rmtree(fill(photos / "test", 3) / "nothing at all")
    prepared = make(photos, tmp_path / "cache")
    assert prepared.sizes == {"train": 31, "validation": 11, "test": 6}
    assert np.bincount(read_test_labels(prepared), minlength=3).tolist() == [3, 3, 0]
    test = open_test_set(prepared)
    assert test.inputs[3].numpy().tobytes() == make_image(100).tobytes()
    assert make(photos, tmp_path / "cache", own_test=False).sizes["test"] == 11
    (photos / "test" / "new").mkdir()
    (photos / "test" / "dot" / "0.png").rename(photos / "test" / "new" / "0.png")
    with pytest.raises(
        DataError, match="class 'new' is in the test set but not in the training set"
    ):
        make(photos, tmp_path / "cache")


@pytest.mark.parametrize("part", ["val", "Valid", "validation"])
def test_a_validation_folder_is_the_validation_set_if_the_study_sets_so(
    tmp_path: Path, part: str
) -> None:
    photos = tmp_path / "photos"
    fill(photos / "train", 8)
    for file in fill(photos / part, 3).rglob("*.png"):
        Image.fromarray(make_image(900 + len(file.parent.name))).save(file)
    expected = sorted(make_image(900 + len(name)).tobytes() for name in CLASSES for _ in range(3))

    def check(prepared: PreparedDataset, sizes: dict[str, int]) -> None:
        files = prepared.training
        assert prepared.sizes == sizes
        inputs, rows = np.load(files.inputs), np.load(files.validation_rows)
        assert sorted(image.tobytes() for image in inputs[rows]) == expected
        labels = np.load(files.labels)[rows]
        assert all(
            image.tobytes() == make_image(900 + len(CLASSES[label])).tobytes()
            for image, label in zip(inputs[rows], labels, strict=True)
        )
        assert "validates on its own validation set" in prepared.notes[0]

    prepared = make(photos, tmp_path / "cache", **OWN)
    check(prepared, {"train": 18, "validation": 9, "test": 6})
    other = make(photos, tmp_path / "cache", validation=0.5, split_seed=1, **OWN)
    check(other, prepared.sizes)
    merged = make(photos, tmp_path / "cache")
    assert merged.sizes == {"train": 18, "validation": 6, "test": 9}
    assert "training and validation set are merged and split anew" in merged.notes[0]
    assert merged.split_hash != prepared.split_hash
    fill(photos / "test", 2)
    check(make(photos, tmp_path / "cache", **OWN), {"train": 24, "validation": 9, "test": 6})
    two = make(photos, tmp_path / "cache", classes=["dot", "bar"], **OWN)
    assert two.sizes == {"train": 16, "validation": 6, "test": 4}


def test_a_validation_set_that_is_missing_or_lacks_a_class_is_refused(
    photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"own_validation: .*photos has no validation set; leave"):
        make(photos, tmp_path / "cache", own_validation=True)
    for part, other in (("train", "val"), ("val", "train")):
        folder = tmp_path / f"no dot in {part}"
        fill(folder / part)
        fill(folder / other)
        shutil.rmtree(folder / part / "dot")
        name = {"train": "training", "val": "validation"}[part]
        with pytest.raises(DataError, match=f"own_validation: the {name} set .* of class 'dot'"):
            make(folder, tmp_path / "cache", own_validation=True)


def test_size_resizes_all_images(photos: Path, tmp_path: Path) -> None:
    Image.fromarray(make_image(1, 20, 30)).save(photos / "dot" / "large.png")
    with pytest.raises(DataError, match=r"\[data\] size: .* of 2 sizes") as caught:
        make(photos, tmp_path / "cache")
    message = str(caught.value)
    assert "9x7 as bar/0.png (36), 20x30 as dot/large.png (1); size = [9, 7] resizes" in message
    prepared = make(photos, tmp_path / "cache", size=[6, 8])
    assert prepared.training.shape == (6, 8)
    assert prepared.split_hash != make(photos, tmp_path / "cache", size=[8, 6]).split_hash


def test_a_relative_path_begins_in_the_working_or_the_data_directory(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    split_hash = make(photos, cache).split_hash
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no dataset 'photos'"):
        make("photos", cache)
    with pytest.raises(
        DataError, match=r"no file or folder .*elsewhere/\./photos|elsewhere/photos"
    ):
        make("./photos", cache)
    assert make("./photos", cache, data_dir=tmp_path).split_hash == split_hash
    monkeypatch.setenv("HOME", str(tmp_path))
    assert make("~/photos", cache).split_hash == split_hash
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "./photos", "photos/"):
        prepared = make(name, cache)
        assert (prepared.split_hash, prepared.name) == (split_hash, name)
        assert prepared.training.inputs.parents[1].name.startswith("photos-")


def test_a_study_whose_images_changed_is_refused(photos: Path, tmp_path: Path) -> None:
    config = load("quickstart", [f"data.name={photos}"])
    before = make(photos, tmp_path / "cache").split_hash
    with open_search(config, tmp_path / "journals", split=before):
        pass
    with open_search(config, tmp_path / "journals", split=before) as search:
        search.ask()  # a record without a trial would give way
    Image.fromarray(make_image(999)).save(photos / "dot" / "0.png")
    after = make(photos, tmp_path / "cache").split_hash
    with (
        pytest.raises(Exception, match=f"on other data: .*{before[:16]}, now it is {after[:16]}"),
        open_search(config, tmp_path / "journals", split=after),
    ):
        pass


def damage(photos: Path, how: str) -> None:
    file = photos / "dot" / "3.png"
    match how:
        case "cut off":
            file.write_bytes(file.read_bytes()[:-30])
        case "a text":
            file.write_text("no picture")
        case "empty":
            file.write_bytes(b"")
        case "HEIC":
            file.write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(99))
        case "SVG":
            file.unlink()
            (photos / "dot" / "logo.svg").write_text("<?xml version='1.0'?><svg/>")
        case "a class without images":
            for image in (photos / "dot").iterdir():
                image.unlink()
        case "an archive for a class":
            for image in (photos / "dot").iterdir():
                image.unlink()
            (photos / "dot" / "dots.tar.gz").write_bytes(b"")
        case "an archive for all":
            for name in CLASSES:
                shutil.rmtree(photos / name)
            (photos / "photos.zip").write_bytes(b"")
        case "a class with one image":
            for image in [*(photos / "dot").iterdir()][1:]:
                image.unlink()
        case "one class":
            for name in CLASSES[1:]:
                shutil.rmtree(photos / name)
        case "no classes":
            for name in CLASSES:
                shutil.rmtree(photos / name)
            Image.fromarray(make_image(1)).save(photos / "1.png")


MESSAGES = {
    "cut off": r"dot/3\.png: not a readable image \(image file is truncated",
    "a text": r"dot/3\.png: not a readable image \(no PNG, JPEG, BMP or other",
    "empty": r"dot/3\.png: not a readable image",
    "HEIC": r"dot/3\.png: HEIC images are not supported; save it as PNG",
    "SVG": r"dot/logo\.svg: SVG images are not supported; save it as PNG",
    "a class without images": "class 'dot' has no image",
    "an archive for a class": "class 'dot' has no images, but the archive dots.tar.gz; unpack it",
    "an archive for all": "photos has no images, but the archive photos.zip; unpack it there",
    "a class with one image": r"class 'dot' has one example .* leave it out by \[data\] classes",
    "one class": r"has only one class \(bar\)",
    "no classes": "a folder with no classes; put the images of each class into their own",
}


@pytest.mark.parametrize("how", MESSAGES)
def test_the_error_for_a_damaged_folder_is_one_line(photos: Path, tmp_path: Path, how: str) -> None:
    damage(photos, how)
    with pytest.raises(DataError, match=MESSAGES[how]) as caught:
        make(photos, tmp_path / "cache")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "x"}, r"\[data\] target: .* is a folder of images, which has none"),
        ({"task": "regression"}, r"\[data\] task: .* is a folder of images, which has classes"),
        ({"size": [100_000, 100_000]}, r"\[data\] size: .* too many pixels for memory"),
    ],
)
def test_keys_that_do_not_fit_images_are_refused(
    photos: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        make(photos, tmp_path / "cache", **changes)


def test_builtin_datasets_refuse_the_keys_of_custom_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\[data\] target: is for custom data, not for digit"):
        make("digits", tmp_path, target="x")


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "@eaDir", "__MACOSX", ".git/objects"])
def test_hidden_and_system_folders_are_left_out(photos: Path, tmp_path: Path, name: str) -> None:
    before = make(photos, tmp_path / "cache")
    assert before.notes == ()
    assert before.size_note.endswith(
        ": only 7 examples to validate: an accuracy near 90 % is ± 24 points (docs/questions.md)"
    )
    for folder in (photos / "dot" / name, photos / "dot" / "deeper" / name, photos / name):
        folder.mkdir(parents=True)
        Image.fromarray(make_image(7)).save(folder / "copy.png")
    for file in (".DS_Store", "Thumbs.db", "._1.png"):
        (photos / "dot" / file).write_bytes(b"of the system")
    after = make(photos, tmp_path / "cache2")
    assert (after.sizes, after.split_hash) == (before.sizes, before.split_hash)
    (note,) = after.notes
    assert re.search(r"left out 3 images in hidden or system folders, such as dot/", note)


def test_linked_folders_are_left_out_by_name(photos: Path, tmp_path: Path) -> None:
    """They may lead in a circle, so that a class would have every picture many times."""
    before = make(photos, tmp_path / "cache")
    (photos / "dot" / "up").symlink_to("..")
    (photos / "dot" / "self").symlink_to("self")
    (photos / "everything").symlink_to(".")
    elsewhere = fill(tmp_path / "more") / "bar"
    (photos / "bar" / "more").symlink_to(elsewhere)
    after = make(photos, tmp_path / "cache2")
    assert (after.sizes, after.split_hash) == (before.sizes, before.split_hash)
    (note,) = after.notes
    assert note.startswith("photos: left out 4 links to folders or to nothing, such as everything;")
    (photos / "everything").unlink()
    (photos / "ring").symlink_to(elsewhere)
    assert make(photos, tmp_path / "cache3").training.classes == (*CLASSES, "ring"), "a class"


def test_images_are_recognised_by_their_content(photos: Path, tmp_path: Path) -> None:
    before = make(photos, tmp_path / "cache")
    for image in [*(photos / "dot").iterdir()]:
        image.rename(image.with_suffix(".dat"))
    (photos / "dot" / "notes.txt").write_text("P1 is no picture, and neither is this")
    (photos / "dot" / "labels.csv").write_text("a,b\n1,2\n")
    after = make(photos, tmp_path / "cache2")
    assert after.sizes == before.sizes
    (note,) = after.notes
    assert note.endswith("left out 2 files of no image format, such as dot/labels.csv")
    jpeg = photos / "bar" / "0.png"  # a JPEG by another name
    Image.fromarray(make_image(0)).save(jpeg, "JPEG")
    assert make(photos, tmp_path / "cache3").sizes == before.sizes


def test_splits_are_read_beside_other_folders(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for part, count in (("Train", 8), ("test", 3), ("val", 2)):
        fill(photos / part, count)
    plain = make(photos, tmp_path / "cache")
    assert len(plain.notes) == 1, "about the validation set"
    (photos / "notes").mkdir()
    Image.fromarray(make_image(1)).save(photos / "notes" / "example.png")
    prepared = make(photos, tmp_path / "cache2")
    assert (prepared.training.classes, prepared.sizes) == (CLASSES, plain.sizes)
    assert (
        "left out notes, because the folders Train, test, val are the splits" in (prepared.notes[0])
    )


def test_classes_may_be_called_like_splits(tmp_path: Path) -> None:
    """Pictures of trains, tests and cars: the folders hold pictures, not classes."""
    for name in ("train", "test", "car"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(COUNT):
            Image.fromarray(make_image(index)).save(tmp_path / "photos" / name / f"{index}.png")
    prepared = make(tmp_path / "photos", tmp_path / "cache")
    assert prepared.training.classes == ("car", "test", "train")
