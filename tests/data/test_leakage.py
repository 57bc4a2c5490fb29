"""Duplicates between splits: counted, dropped; the digests of splits and their class counts."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data import builtin
from harness.data.leakage import (
    Duplicates,
    GroupedExamples,
    SplitContents,
    count_test_copies,
    group_examples,
    hash_examples,
    measure_data_quality,
)
from harness.data.prepare import PreparedDataset, prepare
from harness.errors import DataError
from harness.sweep.dry_run import dry_run, format_dry_run
from harness.sweep.options import RunOptions
from harness.sweep.plan import Plan, make_plan
from tests.support import tiny_mnist
from tests.support.sealed_test_set import read_test_labels
from tests.support.tiny_mnist import Array, Splits

NONE = Duplicates(0, 0)


def make(folder: Path, name: str = "mnist", **changes: object) -> PreparedDataset:
    options = {"validation": 0.2, "test": 0.2, "split_seed": 0, "normalize": True}
    return prepare(name, cache=folder / "cache", data_dir=folder / "data", **(options | changes))  # type: ignore[arg-type]


def plant(splits: Splits) -> None:
    """Plant 7 copies in the test set, 2 with another label, and 12 within the training data."""
    images, labels = splits["train"]
    test_images, test_labels = splits["t10k"]
    test_images[:7], test_labels[:7] = images[100:107], labels[100:107]
    test_labels[:2] = (labels[100:102] + 1) % 10
    images[300:312], labels[300:312] = images[100:112], labels[100:112]
    labels[300:304] = (labels[100:104] + 3) % 10


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(builtin, "MD5", tiny_mnist.write(tmp_path / "data", plant))
    return tmp_path


Examples = list[tuple[bytes, int]]


def read_examples(prepared: PreparedDataset) -> dict[str, Examples]:
    """Return (input, label) of each split, from the cache's files."""
    files = prepared.training
    inputs, labels = np.load(files.inputs), np.load(files.labels)
    rows = {"train": np.load(files.train_rows), "validation": np.load(files.validation_rows)}
    parts = {name: (inputs[which], labels[which]) for name, which in rows.items()}
    parts["test"] = np.load(prepared.test.inputs), read_test_labels(prepared)
    return {
        name: [(image.tobytes(), int(label)) for image, label in zip(*part, strict=True)]
        for name, part in parts.items()
    }


def count_by_comparing(first: Examples, second: Examples) -> Duplicates:
    """Compare every example of the second split with every one of the first."""
    matches = [[label for image, label in first if image == copy] for copy, _ in second]
    return Duplicates(
        sum(bool(labels) for labels in matches),
        sum(
            any(other != label for other in labels)
            for (_, label), labels in zip(second, matches, strict=True)
        ),
    )


def test_duplicates_are_counted_as_by_hand() -> None:
    def group(groups: list[int], labels: list[int]) -> GroupedExamples:
        return GroupedExamples(np.array(groups), np.array(labels))

    splits = {
        "train": group([0, 0, 0, 1, 2, 2, 3], [5, 5, 6, 1, 2, 2, 3]),
        "validation": group([1, 1, 4], [1, 2, 4]),
        "test": group([0, 0, 2, 2, 4, 9], [5, 6, 2, 7, 4, 9]),
    }
    train, validation, test = splits.values()
    examples = GroupedExamples(
        np.concatenate([train.groups, validation.groups]),
        np.concatenate([train.labels, validation.labels]),
    )
    rows = {"train": np.arange(7), "validation": np.arange(7, 10)}
    copies = count_test_copies(examples, test)
    digests = {"train": "a", "validation": "b", "test": "c"}
    folds = [(rows["train"], rows["validation"])]
    quality = measure_data_quality(examples, rows, folds, copies, digests, 10, 3)
    assert quality.duplicates == {
        "train_test": Duplicates(4, 3),  # training has the first image as 5 and as 6
        "validation_test": Duplicates(1, 0),
        "train_validation": Duplicates(2, 1),
        "train": Duplicates(
            3, 2
        ),  # two more copies of the first image, which has two labels; one of another
    }
    assert quality.parts["train"].by_class == (0, 1, 2, 1, 0, 2, 1, 0, 0, 0)
    assert quality.parts["test"] == SplitContents(6, (), "c"), "its classes are counted later"
    assert quality.dropped == 3


def test_planted_copies_are_found(planted: Path) -> None:
    prepared = make(planted)
    splits, quality = read_examples(prepared), prepared.data_quality
    for pair in ("train_test", "validation_test", "train_validation"):
        first, second = pair.split("_")
        assert quality.duplicates[pair] == count_by_comparing(splits[first], splits[second]), pair
    both = [*splits["train"], *splits["validation"]]
    shared = count_by_comparing(both, splits["test"])
    assert shared == Duplicates(7, 4), "two here, two by their copies"
    assert min(quality.duplicates[pair].examples for pair in ("train_test", "train_validation")) > 0
    inputs = [image for image, _ in splits["train"]]
    assert quality.duplicates["train"].examples == len(inputs) - len(set(inputs)) > 0
    assert 0 < quality.duplicates["train"].conflicting < quality.duplicates["train"].examples
    for name, split in splits.items():
        counts = np.bincount([label for _, label in split], minlength=10)
        assert quality.parts[name].by_class == (() if name == "test" else tuple(counts))
        assert quality.parts[name].examples == prepared.sizes[name] == len(split)


def test_each_split_has_a_digest_of_its_content(planted: Path) -> None:
    prepared = make(planted)
    for name, part in read_examples(prepared).items():
        digest = hashlib.sha256(f"{len(part)}|".encode())
        digest.update(b"".join(image for image, _ in part))
        digest.update(b"".join(label.to_bytes(8, "little") for _, label in part))
        assert prepared.data_quality.parts[name].digest == digest.hexdigest()
    assert prepared.test_digest == prepared.data_quality.parts["test"].digest


def test_the_test_digest_depends_on_images_and_labels_alone(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = make(planted).test_digest
    for changes in ({"split_seed": 1}, {"validation": 0.3}, {"drop_duplicates": True}):
        assert make(planted, **changes).test_digest == digest
    data = planted / "elsewhere" / "data"
    shutil.copytree(planted / "data" / "MNIST", data / "FashionMNIST")
    monkeypatch.setitem(builtin.MD5, "FashionMNIST", builtin.MD5["MNIST"])
    assert make(data.parent, "fashion-mnist").test_digest == digest, "by another name"
    assert make(planted, classes=["1", "2"]).test_digest != digest
    assert make(planted, own_test=False).test_digest != digest

    def changed(alter: Callable[[Array, Array], None]) -> str:
        def both(splits: Splits) -> None:
            plant(splits)
            alter(*splits["t10k"])

        folder = Path(str(planted / str(len(list(planted.iterdir())))))
        monkeypatch.setattr(builtin, "MD5", tiny_mnist.write(folder / "data", both))
        return make(folder).test_digest

    def pixel(images: Array, _: Array) -> None:
        images[50, 3, 3] += 1

    def label(_: Array, labels: Array) -> None:
        labels[50] = 9 - labels[50]

    assert len({digest, changed(pixel), changed(label)}) == 3
    assert changed(lambda *_: None) == digest


def test_duplicates_are_dropped_from_the_training_set_alone(planted: Path) -> None:
    before, after = make(planted), make(planted, drop_duplicates=True)
    old, new = read_examples(before), read_examples(after)
    held_out = {image for part in ("validation", "test") for image, _ in old[part]}
    assert new["train"] == [example for example in old["train"] if example[0] not in held_out]
    assert (new["validation"], new["test"]) == (old["validation"], old["test"])
    assert after.sizes["train"] == len(new["train"]) < before.sizes["train"]
    quality = after.data_quality
    assert quality.dropped == before.sizes["train"] - after.sizes["train"]
    assert (quality.duplicates["train_test"], quality.duplicates["train_validation"]) == (
        NONE,
        NONE,
    )
    assert (
        quality.duplicates["validation_test"] == before.data_quality.duplicates["validation_test"]
    )
    assert before.split_hash != after.split_hash
    values = np.frombuffer(b"".join(image for image, _ in new["train"]), np.uint8)
    assert after.training.mean == pytest.approx(values.mean(), abs=1e-9)
    assert after.training.std == pytest.approx(values.std(), abs=1e-9)
    assert after.training.mean != before.training.mean
    assert make(planted) == before, "the other split is still there"


STUDY = """
[study]
trials = 2
[data]
name = "mnist"
validation = 0.2
[train]
epochs = 1
[space]
hidden = [[4], [8]]
"""


def test_a_dry_run_shows_the_dropped_duplicates(planted: Path) -> None:
    path = planted / "tiny.toml"
    path.write_text(STUDY)

    def planned(*overrides: str) -> Plan:
        return make_plan(
            path,
            RunOptions(device="cpu", workers=0, data_dir=planted / "data", overrides=overrides),
        )

    as_it_is, without = planned(), planned("data.drop_duplicates=true")
    assert "drop_duplicates" not in as_it_is.config.definition()["data"], "as in older studies"
    assert without.config.definition()["data"]["drop_duplicates"] is True
    before, after = dry_run(as_it_is), dry_run(without)
    dropped = before["sizes"]["train"] - after["sizes"]["train"]
    assert dropped > 0
    assert f"mnist, without duplicates in training ({dropped} dropped), from" in format_dry_run(
        after
    )
    assert "duplicates" not in format_dry_run(before)


def test_the_error_names_a_class_without_remaining_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_equal(splits: Splits) -> None:
        for images, labels in splits.values():
            images[labels == 4] = 0

    monkeypatch.setattr(builtin, "MD5", tiny_mnist.write(tmp_path / "data", make_equal))
    assert make(tmp_path).data_quality.duplicates["train_test"] == Duplicates(10, 0)
    message = r"\[data\] drop_duplicates: every training example of class '4' also occurs in"
    with pytest.raises(DataError, match=message):
        make(tmp_path, drop_duplicates=True)


def test_a_dataset_without_duplicates_has_counts_of_0(digits: PreparedDataset) -> None:
    assert set(digits.data_quality.duplicates.values()) == {NONE}


def test_preparing_again_does_not_read_the_sealed_test_set(planted: Path) -> None:
    prepared = make(planted)
    shutil.rmtree(prepared.test.inputs.parent)
    assert make(planted) == prepared


def test_a_damaged_count_in_the_cache_is_refused(planted: Path) -> None:
    path = make(planted).training.train_rows.with_name("meta.json")
    meta = json.loads(path.read_text())
    for fairness in ({}, {"parts": 3}, meta["fairness"] | {"duplicates": {"train": None}}, 7):
        path.write_text(json.dumps(meta | {"fairness": fairness}))
        with pytest.raises(DataError, match=r"the cached data in .* delete that folder"):
            make(planted)


def test_equal_bytes_are_one_group_for_any_shape_and_type() -> None:
    rng = np.random.default_rng(0)
    table = rng.standard_normal((50, 6)).astype(np.float32)
    table[10:20] = table[:10]
    table[49], table[49, 5] = table[48], -table[48, 5]  # they differ in the last byte only
    first, second = group_examples(table[:30], table[30:])
    assert (first[10:20] == first[:10]).all()
    assert len(set(first) | set(second)) == 40
    (backwards,) = group_examples(table[::-1])
    assert (backwards[::-1][10:20] == backwards[::-1][:10]).all()
    strided, contiguous = table[:, ::2], np.ascontiguousarray(table[:, ::2])
    labels = np.zeros(50, np.int64)
    assert hash_examples(strided, labels) == hash_examples(contiguous, labels.astype(np.uint8))


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_counts_of_real_data_agree_with_numpy_unique(
    real_data: Path, isolated: Path, name: str
) -> None:
    prepared = prepare(
        name,
        validation=0.1,
        test=0.2,
        split_seed=0,
        normalize=True,
        data_dir=real_data,
        cache=isolated / "harness",
    )
    files = prepared.training
    inputs, rows = (
        np.load(files.inputs),
        (np.load(files.train_rows), np.load(files.validation_rows)),
    )
    parts = {
        "train": inputs[rows[0]],
        "validation": inputs[rows[1]],
        "test": np.load(prepared.test.inputs),
    }
    unique = {
        name: np.unique(part.reshape(len(part), -1).view("V784").ravel())
        for name, part in parts.items()
    }
    duplicates = prepared.data_quality.duplicates
    assert duplicates["train"].examples == len(parts["train"]) - len(unique["train"])
    for pair in ("train_test", "validation_test", "train_validation"):
        first, second = pair.split("_")
        held = parts[second].reshape(len(parts[second]), -1).view("V784").ravel()
        assert duplicates[pair].examples == np.isin(held, unique[first]).sum(), pair
    assert set(duplicates.values()) == {NONE}, "neither dataset has duplicates"
    coarse = np.ascontiguousarray(inputs[:, ::7, ::7] >> 7).reshape(len(inputs), -1)
    (groups,) = group_examples(coarse)
    _, inverse = np.unique(coarse.view("V16").ravel(), return_inverse=True)
    assert 100 < len(set(inverse)) < len(inputs) / 2
    pairs = set(zip(groups.tolist(), inverse.tolist(), strict=True))
    assert len(pairs) == len(set(groups)) == len(set(inverse)), "the same classes of equal ones"
