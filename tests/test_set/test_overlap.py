"""A test set is known by its examples: however it is split, ordered, labelled or stored."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from harness.analysis.test_set_facts import REUSED, describe_overlap
from harness.data.example_hashes import find_first_rows
from harness.data.prepare import PreparedDataset, prepare
from harness.metrics import Score
from harness.stats.proportions import compute_interval
from harness.test_set.log import Opening, TestSetLog
from harness.test_set.sealed import SealedTest, identify_parts
from harness.tracking.test_reading import TestReading

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
RNG = np.random.default_rng(0)


def make_images(count: int = 400, classes: int = 4) -> Arrays:
    """Return 12x12 images with as many test images as a quarter of `count`."""
    x = RNG.integers(0, 256, (count + count // 4, 12, 12)).astype(np.uint8)
    y = np.arange(len(x)) % classes
    return {"x": x[:count], "y": y[:count], "x_test": x[count:], "y_test": y[count:]}


IMAGES = make_images()


class Folder:
    """A folder of studies on data in .npz files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self, arrays: Arrays, **options: object) -> PreparedDataset:
        file = self.path / f"data-{len(list(self.path.glob('*.npz')))}.npz"
        np.savez(file, **arrays)
        defaults: dict[str, Any] = {
            "validation": 0.2, "test": 0.2, "split_seed": 0, "normalize": True,
        }  # fmt: skip
        return prepare(str(file), cache=self.path / "cache", **defaults | options)

    def open(self, arrays: Arrays, study: str = "a", **options: object) -> Opening:
        prepared = self.prepare(arrays, **options)
        sealed = SealedTest.of(prepared)
        log = TestSetLog.for_test_set(self.path / "test-sets", prepared.test_digest)
        sealed.open(log, f"{study}-{log.path.name}", (study, f"uid-{study}"))
        assert sealed.opening is not None
        return sealed.opening


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def change(arrays: Arrays, alter: Callable[[Array], Array], *names: str) -> Arrays:
    return arrays | {name: alter(arrays[name].copy()) for name in names}


def alter_pixel(images: Array) -> Array:
    images[0, 5, 5] ^= 255
    return images


def alter_pixel_of_each(images: Array) -> Array:
    images[:, 5, 5] ^= 255
    return images


def add_noise(images: Array) -> Array:
    return np.clip(images + RNG.normal(0, 3, images.shape), 0, 255).astype(np.uint8)


TEST = ("x_test", "y_test")
VARIANTS: dict[str, tuple[Arrays, str]] = {
    "same": (IMAGES, "all"),
    "rows in another order": (change(IMAGES, lambda a: a[::-1], *TEST), "all"),
    "other labels": (change(IMAGES, lambda y: (y + 1) % 4, "y", "y_test"), "all"),
    "another type": (change(IMAGES, lambda x: x.astype(np.float64), "x", "x_test"), "all"),
    "one pixel": (change(IMAGES, alter_pixel, "x_test"), "all"),
    "a pixel of each": (change(IMAGES, alter_pixel_of_each, "x_test"), "all"),
    "noise": (change(IMAGES, add_noise, "x", "x_test"), "9[5-9] %"),
    "another range": (change(IMAGES, lambda x: x / 255, "x", "x_test"), "all"),
    "one less": (change(IMAGES, lambda a: a[1:], *TEST), "all"),
    "one more": (change(IMAGES, lambda a: np.concatenate([a, a[:1] + 1]), *TEST), "over 99 %"),
    "doubled": (change(IMAGES, lambda a: np.concatenate([a, a]), *TEST), "all"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_examples_in_another_form_are_a_second_opening(
    folder: Folder, variant: str
) -> None:
    assert folder.open(IMAGES) == Opening(1)
    arrays, share = VARIANTS[variant]
    second = folder.open(arrays, "b")
    assert second.look == 2
    expected = f"{share} of these test examples were in the test set that 'a' opened on 20"
    assert re.match(expected, second.overlap[0])
    assert "training" not in second.overlap[0]


@pytest.mark.parametrize(
    ("options", "test", "training"),
    [
        ({"split_seed": 1}, 20, 80),
        ({"test": 0.21}, 95, 5),  # scikit-learn draws the same rows, and some more
        ({"test": 0.5, "split_seed": 3}, 20, 80),
    ],
)
def test_another_split_of_the_same_data_is_a_second_opening(
    folder: Folder, options: dict[str, Any], test: int, training: int
) -> None:
    arrays = {"x": IMAGES["x"], "y": IMAGES["y"]}
    assert folder.open(arrays, own_test=False) == Opening(1)
    second = folder.open(arrays, "b", own_test=False, **options)
    assert second.look == 2
    words = second.overlap[0].split()
    assert "were training examples of 'a'" in second.overlap[0]
    shares = [int(words[index - 1]) for index, word in enumerate(words) if word == "%"]
    assert shares == pytest.approx([test, training], abs=12)
    assert 99 <= sum(shares) <= 101, "every example was in one of the two"


def test_permuted_classes_are_the_same_test_set(folder: Folder) -> None:
    assert folder.open(IMAGES, classes=["0", "1", "2", "3"]).look == 1
    assert folder.open(IMAGES, "b", classes=["3", "1", "0", "2"]).look == 2
    part = folder.open(IMAGES, "c", classes=["1", "2"])
    assert part.look == 3
    assert part.overlap[0].startswith("all of these test examples")


def test_other_examples_are_a_first_opening(folder: Folder) -> None:
    """Images, and a table whose columns have few values."""
    folder.open(IMAGES)
    assert folder.open(make_images(), "b") == Opening(1)
    few = [make_table(RNG, 2000) for _ in range(2)]
    assert folder.open(few[0], "c", own_test=False) == Opening(1)
    assert folder.open(few[1], "d", own_test=False) == Opening(1)
    numbers = [RNG.normal(size=(300, 5)) for _ in range(2)]
    for name, x in zip("ef", numbers, strict=True):
        assert folder.open({"x": x, "y": np.arange(300) % 2}, name, own_test=False) == Opening(1)


def make_table(rng: np.random.Generator, rows: int) -> Arrays:
    x = rng.integers(0, 4, (rows, 3)).astype(np.float64)
    return {"x": x, "y": (x.sum(1) > 4).astype(np.int64)}


def test_a_table_of_few_values_is_known_by_its_source(folder: Folder) -> None:
    table = make_table(RNG, 500)
    folder.open(table, own_test=False)
    np.savez(folder.path / "again.npz", **table)
    second = folder.open(table, "b", own_test=False, split_seed=1)
    assert second.look == 2
    assert second.overlap[0].startswith("the same data was split before, by 'a' (20")


def test_columns_of_a_table_may_change_a_little(folder: Folder) -> None:
    x = RNG.normal(size=(300, 20)) * 10.0 ** np.arange(-5, 15)
    y = np.arange(300) % 3
    folder.open({"x": x, "y": y}, own_test=False)
    rounded = folder.open({"x": x.round(9) * (1 + 1e-7), "y": y}, "b", own_test=False)
    x[:, 3] = 0
    changed = folder.open({"x": x, "y": y}, "c", own_test=False)
    assert (rounded.look, changed.look) == (2, 3)


def test_another_study_on_the_same_split_repeats_the_test_set_alone(folder: Folder) -> None:
    folder.open(IMAGES)
    second = folder.open(IMAGES, "b")
    assert len(second.overlap) == 1
    assert "training" not in second.overlap[0]


def test_examples_that_an_unopened_study_was_trained_on_are_named(folder: Folder) -> None:
    arrays = {"x": IMAGES["x"], "y": IMAGES["y"]}
    prepared = folder.prepare(arrays)
    log = TestSetLog.for_test_set(folder.path / "test-sets", prepared.test_digest)
    for _ in range(2):
        log.record_training("a", "uid-a", identify_parts(prepared))
    assert len(log.read_lines()) == 1
    second = folder.open(arrays, "b", split_seed=1)
    assert second.look == 1, "that test set is sealed"
    assert second.overlap[0].endswith("of these test examples were training examples of 'a'")


def test_only_studies_that_opened_the_test_set_are_named(folder: Folder) -> None:
    folder.open(IMAGES)
    prepared = folder.prepare(IMAGES)
    log = TestSetLog.for_test_set(folder.path / "test-sets", prepared.test_digest)
    for sealed in ("b", "c"):
        log.record_training(sealed, f"uid-{sealed}", identify_parts(prepared))
    second, third = folder.open(IMAGES, "b"), folder.open(IMAGES, "d")
    assert "test set that 'a' opened" in second.overlap[0]
    assert "test set that 'a' and 1 other opened" in third.overlap[0]


def test_small_shares_count_together(folder: Folder) -> None:
    """A test set of pieces of 4 others, 8 % each."""
    sets = [make_images() for _ in range(4)]
    for number, arrays in enumerate(sets):
        folder.open(arrays, f"s{number}")
    rest = make_images()
    pieces = [*(each["x_test"][:8] for each in sets), rest["x_test"][:68]]
    opening = folder.open(rest | {"x_test": np.concatenate(pieces)}, "b")
    assert opening.look == 2
    assert len(opening.overlap) == 4
    assert opening.overlap[-1] == "1 other split overlaps too"


def test_intervals_and_the_summary_count_copies_once(folder: Folder) -> None:
    confusion = ((45, 5), (5, 45))
    reading = TestReading(selection="s", number=0, time=1.0, loss=0.5, confusion=confusion, look=1)
    copied = replace(reading, copies=50)
    assert Score().compute_interval(copied) == compute_interval(45, 50)
    assert Score().compute_interval(reading) == compute_interval(90, 100)
    assert describe_overlap(reading) == []
    assert describe_overlap(copied) == [
        "50 of 100 test examples are copies of another one; the interval counts each once"
    ]
    assert TestReading.from_dict(json.loads(json.dumps(copied.to_dict()))) == copied
    again = replace(reading, look=2, overlap=("20 % of these were seen",))
    assert describe_overlap(again) == ["20 % of these were seen", REUSED]
    assert TestReading.from_dict(json.loads(json.dumps(again.to_dict()))) == again
    assert find_first_rows(np.array([[1, 2], [0, 0], [1, 2], [-0.0, 0]])).tolist() == [0, 1]


def test_copies_are_counted_where_rows_do_not_repeat_by_nature(folder: Folder) -> None:
    doubled = change(IMAGES, lambda a: np.concatenate([a, a[:30]]), *TEST)
    assert identify_parts(folder.prepare(doubled)).copies == 30
    assert identify_parts(folder.prepare(IMAGES)).copies == 0
    assert identify_parts(folder.prepare(make_table(RNG, 500))).copies == 0


def test_a_log_of_an_earlier_version_counts(folder: Folder) -> None:
    """It is known by the bytes of the test set alone, and its openings have no number."""
    prepared = folder.prepare(IMAGES)
    log = TestSetLog.for_test_set(folder.path / "test-sets", prepared.test_digest)
    log.path.parent.mkdir()
    old = [{"opened": name, "study": "old", "uid": name, "who": "me", "time": 1.0} for name in "xy"]
    log.path.write_text("".join(f"{json.dumps(line)}\n" for line in old))
    assert folder.open(IMAGES, "b") == Opening(3)
    assert log.find_opening("y") == Opening(2)
    assert not log.list_broken_lines()


def test_a_line_that_was_removed_or_changed_is_noticed(folder: Folder) -> None:
    for study in "abc":
        folder.open(IMAGES, study)
    (path,) = (folder.path / "test-sets").glob("*.jsonl")
    log, lines = TestSetLog(path), path.read_text().splitlines(keepends=True)
    assert log.list_broken_lines() == []
    path.write_text(lines[0] + lines[2])
    assert log.list_broken_lines() == [2]
    path.write_text("".join([lines[0], lines[1].replace('"b"', '"x"'), lines[2]]))
    assert log.list_broken_lines() == [3]
    path.write_text("".join(lines[1:]))
    assert log.list_broken_lines() == [1]


def test_hashes_that_are_missing_are_reported_and_do_not_stop_an_opening(folder: Folder) -> None:
    folder.open(IMAGES)
    for file in (folder.path / "test-sets").glob("*.npz"):
        file.unlink()
    second = folder.open(change(IMAGES, alter_pixel, "x_test"), "b")
    assert second.look == 1
    assert second.overlap[0].startswith("not compared with the split of 'a' (20")
    assert "No such file" in second.overlap[0]
