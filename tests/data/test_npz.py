"""An `.npz` as data: names, shapes, types, labels, and errors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from harness.data.prepare import PreparedDataset, prepare
from harness.data.torch_datasets import load_splits
from harness.errors import DataError
from tests.support.sealed_test_set import open_test_set

Arrays = dict[str, npt.NDArray[Any]]
N = 60
RNG = np.random.default_rng(0)
LABELS = np.arange(N) % 3
IMAGES = RNG.integers(0, 256, (N, 5, 4), np.uint8)
FEATURES = RNG.normal(100, 7, (N, 6))


def make(folder: Path, arrays: Arrays, **changes: Any) -> PreparedDataset:
    np.savez(folder / "mine.npz", **arrays)  # type: ignore[arg-type]
    options: dict[str, Any] = {"validation": 0.2, "test": 0.2, "split_seed": 0, "normalize": True}
    options |= {"cache": folder / "cache"}
    return prepare(str(folder / "mine.npz"), **(options | changes))


NAMES: dict[str, tuple[Arrays, int]] = {
    "plain": ({"x": IMAGES, "y": LABELS}, 12),
    "in words": ({"Images": IMAGES, "labels": LABELS, "about": np.zeros(3)}, 12),
    "keras": (
        {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:7], "y_test": LABELS[:7]},
        7,
    ),
    "medmnist": (
        {
            "train_images": IMAGES[:40],
            "train_labels": LABELS[:40, None],
            "val_images": IMAGES[40:],
            "val_labels": LABELS[40:, None],
            "test_images": IMAGES[:9],
            "test_labels": LABELS[:9, None],
        },
        9,
    ),
}


@pytest.mark.parametrize("how", NAMES)
def test_arrays_have_the_names_that_others_use(tmp_path: Path, how: str) -> None:
    arrays, test_count = NAMES[how]
    prepared = make(tmp_path, arrays)
    assert prepared.sizes["test"] == test_count
    assert sum(prepared.sizes.values()) == (N if test_count == 12 else N + test_count)
    assert prepared.training.classes == ("0", "1", "2")
    inputs, labels = np.load(prepared.training.inputs), np.load(prepared.training.labels)
    pairs = {(x.tobytes(), int(y)) for x, y in zip(IMAGES, LABELS, strict=True)}
    assert {(x.tobytes(), int(y)) for x, y in zip(inputs, labels, strict=True)} <= pairs
    test = open_test_set(prepared)
    if test_count < 12:
        np.testing.assert_array_equal(test.inputs.numpy(), IMAGES[:test_count])
        np.testing.assert_array_equal(test.labels.numpy(), LABELS[:test_count])


def test_a_validation_set_is_used_if_the_study_sets_so(tmp_path: Path) -> None:
    """Whatever the order of the arrays in the file."""
    parts = {"x_val": IMAGES[40:], "y_train": LABELS[:40], "x_train": IMAGES[:40]}
    prepared = make(tmp_path, parts | {"y_val": LABELS[40:]}, own_validation=True)
    files = prepared.training
    assert prepared.sizes == {"train": 32, "validation": 20, "test": 8}
    inputs, labels = np.load(files.inputs), np.load(files.labels)
    np.testing.assert_array_equal(inputs[np.load(files.validation_rows)], IMAGES[40:])
    known = {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}
    assert all(known[x.tobytes()] == label for x, label in zip(inputs, labels, strict=True))
    with pytest.raises(DataError, match=r"own_validation: .* has no validation set"):
        make(tmp_path, {"x": IMAGES, "y": LABELS}, own_validation=True)


SHAPES = {
    "colours last": (np.zeros((N, 5, 4, 3), np.uint8), (3, 5, 4), "uint8"),
    "colours first": (np.zeros((N, 3, 5, 4), np.uint8), (3, 5, 4), "uint8"),
    "one channel": (np.zeros((N, 5, 4, 1), np.uint8), (5, 4), "uint8"),
    "one channel first": (np.zeros((N, 1, 5, 4), np.uint8), (5, 4), "uint8"),
    "bytes as int64": (IMAGES.astype(np.int64), (5, 4), "uint8"),
    "flat pixels": (IMAGES.reshape(N, -1), (20,), "uint8"),
    "features": (FEATURES, (6,), "float32"),
    "integer features": (FEATURES.astype(int), (6,), "float32"),
    "one feature": (FEATURES[:, 0], (1,), "float32"),
    "images as floats": (IMAGES / 255, (5, 4), "float32"),
}


@pytest.mark.parametrize("how", SHAPES)
def test_images_are_uint8_and_features_float32(tmp_path: Path, how: str) -> None:
    inputs, shape, dtype = SHAPES[how]
    files = make(tmp_path, {"x": inputs, "y": LABELS}).training
    assert (files.shape, files.dtype) == (shape, dtype)
    splits = load_splits(files)
    has_features = how in ("features", "integer features", "one feature")
    assert isinstance(files.mean, tuple) == has_features, "each feature has statistics"
    assert len(splits.mean) == splits.train.inputs[0].numel()


def test_every_feature_is_standardized_separately(tmp_path: Path) -> None:
    scaled = FEATURES * 10.0 ** np.arange(6)
    train = load_splits(make(tmp_path, {"x": scaled, "y": LABELS}).training).train
    x = torch.stack([train[index][0] for index in range(len(train))])
    torch.testing.assert_close(x.mean(0), torch.zeros(6), rtol=0, atol=1e-3)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(6), rtol=0, atol=1e-3)


def test_text_labels_are_classes_and_names_may_be_given(tmp_path: Path) -> None:
    texts = np.array(["cat", "ape", "bee"])[LABELS]
    by_text = make(tmp_path, {"x": IMAGES, "y": texts})
    assert by_text.training.classes == ("ape", "bee", "cat")
    with_names = make(
        tmp_path, {"x": IMAGES, "y": LABELS, "classes": np.array(["cat", "ape", "bee"])}
    )
    assert with_names.training.classes == ("cat", "ape", "bee")
    assert with_names.split_hash != by_text.split_hash
    for prepared in (by_text, with_names):
        labels = np.load(prepared.training.labels)
        inputs = np.load(prepared.training.inputs)
        for x, label in zip(inputs, labels, strict=True):
            row = int(np.flatnonzero((x == IMAGES).all((1, 2)))[0])
            assert prepared.training.classes[label] == texts[row]


def test_targets_of_a_regression_are_kept_as_they_are(tmp_path: Path) -> None:
    y = np.linspace(-3, 5, N)
    arrays = {"x": FEATURES, "y": y, "x_test": FEATURES[:5], "y_test": y[:5]}
    prepared = make(tmp_path, arrays, task="regression", target="metres")
    splits = load_splits(prepared.training)
    assert (splits.task, splits.target, splits.classes) == ("regression", "metres", ())
    assert splits.train.labels.dtype == torch.float32
    np.testing.assert_array_equal(open_test_set(prepared).labels, y[:5].astype(np.float32))


WRONG: dict[str, tuple[Arrays, str]] = {
    "no labels": ({"x": IMAGES, "z": LABELS}, "no array of labels among x, z; name them x and y"),
    "nothing": ({}, "no array of inputs among none at all"),
    "no test labels": ({"x": IMAGES, "y": LABELS, "x_test": IMAGES}, "no array of test labels"),
    "no validation labels": (
        {"x": IMAGES, "y": LABELS, "x_val": IMAGES},
        "no array of val labels",
    ),
    "no test inputs": ({"x": IMAGES, "y": LABELS, "y_test": LABELS}, "no array of test inputs"),
    "too few labels": ({"x": IMAGES, "y": LABELS[:-1]}, r"inputs are \[60, 5, 4\], .* \[59\]"),
    "one-hot": ({"x": IMAGES, "y": np.eye(3)[LABELS]}, r"their labels \[60, 3\]; give one"),
    "empty": ({"x": IMAGES[:0], "y": LABELS[:0]}, "its train set is empty"),
    "labels from 1": ({"x": IMAGES, "y": LABELS + 1}, r"label 3 of row 2 is outside 0\.\.2"),
    "negative": ({"x": IMAGES, "y": LABELS - 1}, r"label -1 of row 0 is outside 0\.\.2"),
    "halves": ({"x": IMAGES, "y": LABELS + 0.5}, "label 0.5 of row 0 is not a whole number"),
    "more labels than names": (
        {"x": IMAGES, "y": LABELS, "classes": np.array(["a", "b"])},
        r"label 2 of row 2 is outside 0\.\.1",
    ),
    "a new label in test": (
        {"x": IMAGES, "y": LABELS, "x_test": IMAGES[:1], "y_test": np.array([3])},
        r"label 3 of row 0 is outside 0\.\.2",
    ),
    "another shape in test": (
        {"x": IMAGES, "y": LABELS, "x_test": IMAGES[:, 1:], "y_test": LABELS},
        r"one training input is \[5, 4\], one test input \[4, 4\]",
    ),
    "nan": (
        {"x": np.where(FEATURES[7, 2] == FEATURES, np.nan, FEATURES), "y": LABELS},
        r"an input is nan in row 7 at \[2\] \(1 in all",
    ),
    "too large": ({"x": np.full((N, 2), 1e300), "y": LABELS}, r"1e\+300 .* not finite in float32"),
    "one class": ({"x": IMAGES, "y": LABELS * 0}, r"has only one class \(0\)"),
    "a class with one example": (
        {"x": IMAGES, "y": np.where(np.arange(N) == 5, 2, LABELS % 2)},
        "class '2' has one example",
    ),
    "objects": (
        {"x": IMAGES, "y": np.array([None] * N)},
        r"its array y holds Python objects; .*\.astype\(str\)",
    ),
    "texts as inputs": ({"x": np.array(["a"] * N), "y": LABELS}, "inputs are of type <U1"),
    "too many classes": (
        {"x": np.zeros((600, 2)), "y": np.arange(600) // 2},
        "300 classes, such as '0' and '1'; at most 256",
    ),
}


@pytest.mark.parametrize("how", WRONG)
def test_the_error_for_wrong_arrays_is_one_line(tmp_path: Path, how: str) -> None:
    arrays, message = WRONG[how]
    with pytest.raises(DataError, match=message) as caught:
        make(tmp_path, arrays)
    assert "\n" not in str(caught.value)


def make_npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, IMAGES)
    return stream.getvalue()


def make_damaged_zip(begin: bytes, damage: bytes) -> bytes:
    """Return an .npz whose bytes after `begin` are replaced: of a compressed array, or a header."""
    stream = io.BytesIO()
    save = np.savez if begin.startswith(b"{") else np.savez_compressed
    save(stream, x=IMAGES, y=LABELS)
    content = bytearray(stream.getvalue())
    start = content.index(begin) + len(begin)
    content[start : start + len(damage)] = damage
    return bytes(content)


DAMAGED = {
    "empty": b"",
    "cut": b"PK\x03\x04 cut",
    "no archive": b"no archive",
    "npy": make_npy(),
    "compressed data": make_damaged_zip(b"x.npy", bytes(range(30, 70))),
    "header": make_damaged_zip(b"{'descr': ", b"("),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_the_error_for_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.npz: cannot be read as an \.npz \((?!.*Python)"):
        prepare(
            str(tmp_path / "mine.npz"), validation=0.2, test=0.2, split_seed=0, normalize=True,
            cache=tmp_path / "cache",
        )  # fmt: skip


def test_targets_of_a_regression_are_checked(tmp_path: Path) -> None:
    for y, message in (
        (np.array(["a", "b"] * 30), "labels are of type <U1, a regression needs numbers"),
        (np.where(np.arange(N) == 3, np.inf, 1.0), r"a label is inf in row 3 \("),
        (np.ones(N), "every target is 1; there is nothing to predict"),
    ):
        with pytest.raises(DataError, match=message):
            make(tmp_path, {"x": FEATURES, "y": y}, task="regression")
