"""Copies between the parts of a split, counted, dropped and hashed; the balance of its classes."""

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
    hash_examples,
    group_examples,
    measure_data_quality,
)
from harness.data.prepare import PreparedDataset, prepare
from harness.errors import DataError
from harness.sweep.dry_run import dry_run, format_dry_run
from harness.sweep.options import RunOptions
from harness.sweep.plan import Plan, make_plan
from tests.support import tiny_mnist
from tests.support.tiny_mnist import Array, Parts

NONE = Duplicates(0, 0)


def make(folder: Path, name: str = "mnist", **changes: object) -> PreparedDataset:
    options = {"validation": 0.2, "test": 0.2, "split_seed": 0, "normalize": True}
    return prepare(name, cache=folder / "cache", data_dir=folder / "data", **(options | changes))  # type: ignore[arg-type]


def plant(parts: Parts) -> None:
    """7 copies in the test part, 2 of them with another label; 12 within the training part."""
    images, labels = parts["train"]
    test_images, test_labels = parts["t10k"]
    test_images[:7], test_labels[:7] = images[100:107], labels[100:107]
    test_labels[:2] = (labels[100:102] + 1) % 10
    images[300:312], labels[300:312] = images[100:112], labels[100:112]
    labels[300:304] = (labels[100:104] + 3) % 10


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(builtin, "MD5", tiny_mnist.write(tmp_path / "data", plant))
    return tmp_path


Examples = list[tuple[bytes, int]]


def examples_of(prepared: PreparedDataset) -> dict[str, Examples]:
    """(input, label) of each part, from the cache's own files."""
    files = prepared.training
    inputs, labels = np.load(files.inputs), np.load(files.labels)
    rows = {"train": np.load(files.train_rows), "validation": np.load(files.validation_rows)}
    parts = {name: (inputs[which], labels[which]) for name, which in rows.items()}
    parts["test"] = np.load(prepared.test.inputs), np.load(prepared.test.labels)
    return {
        name: [(image.tobytes(), int(label)) for image, label in zip(*part, strict=True)]
        for name, part in parts.items()
    }


def by_force(first: Examples, second: Examples) -> Duplicates:
    """Every example of the second part against every one of the first."""
    alike = [[other for image, other in first if image == mine] for mine, _ in second]
    return Duplicates(
        sum(bool(found) for found in alike),
        sum(
            any(other != label for other in found)
            for (_, label), found in zip(second, alike, strict=True)
        ),
    )


def test_copies_are_counted_as_by_hand() -> None:
    def part(groups: list[int], labels: list[int]) -> GroupedExamples:
        return GroupedExamples(np.array(groups), np.array(labels))

    parts = {
        "train": part([0, 0, 0, 1, 2, 2, 3], [5, 5, 6, 1, 2, 2, 3]),
        "validation": part([1, 1, 4], [1, 2, 4]),
        "test": part([0, 0, 2, 2, 4, 9], [5, 6, 2, 7, 4, 9]),
    }
    found = measure_data_quality(parts, {"train": "a", "validation": "b", "test": "c"}, 10, 3)
    assert found.duplicates == {
        "train_test": Duplicates(4, 3),  # of the first image training has a 5 and a 6
        "validation_test": Duplicates(1, 0),
        "train_validation": Duplicates(2, 1),
        "train": Duplicates(3, 2),  # two more of the first image, which has two labels; one more
    }
    assert found.parts["train"].by_class == (0, 1, 2, 1, 0, 2, 1, 0, 0, 0)
    assert (found.parts["test"].examples, found.parts["test"].digest) == (6, "c")
    assert found.dropped == 3


def test_planted_copies_are_found(planted: Path) -> None:
    prepared = make(planted)
    parts, found = examples_of(prepared), prepared.data_quality
    for pair in ("train_test", "validation_test", "train_validation"):
        first, second = pair.split("_")
        assert found.duplicates[pair] == by_force(parts[first], parts[second]), pair
    whole = [*parts["train"], *parts["validation"]]
    assert by_force(whole, parts["test"]) == Duplicates(7, 4), "two here, two by their copies"
    assert min(found.duplicates[pair].examples for pair in ("train_test", "train_validation")) > 0
    inputs = [image for image, _ in parts["train"]]
    assert found.duplicates["train"].examples == len(inputs) - len(set(inputs)) > 0
    assert 0 < found.duplicates["train"].conflicting < found.duplicates["train"].examples
    for name, part in parts.items():
        counts = np.bincount([label for _, label in part], minlength=10)
        assert found.parts[name].by_class == tuple(counts)
        assert found.parts[name].examples == prepared.sizes[name] == len(part)


def test_each_part_has_a_hash_of_its_content(planted: Path) -> None:
    prepared = make(planted)
    for name, part in examples_of(prepared).items():
        digest = hashlib.sha256(f"{len(part)}|".encode())
        digest.update(b"".join(image for image, _ in part))
        digest.update(b"".join(label.to_bytes(8, "little") for _, label in part))
        assert prepared.data_quality.parts[name].digest == digest.hexdigest()
    assert prepared.test_digest == prepared.data_quality.parts["test"].digest


def test_the_test_parts_hash_is_of_its_images_and_labels_alone(
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
        def both(parts: Parts) -> None:
            plant(parts)
            alter(*parts["t10k"])

        folder = Path(str(planted / str(len(list(planted.iterdir())))))
        monkeypatch.setattr(builtin, "MD5", tiny_mnist.write(folder / "data", both))
        return make(folder).test_digest

    def pixel(images: Array, _: Array) -> None:
        images[50, 3, 3] += 1

    def label(_: Array, labels: Array) -> None:
        labels[50] = 9 - labels[50]

    assert len({digest, changed(pixel), changed(label)}) == 3
    assert changed(lambda *_: None) == digest


def test_duplicates_are_dropped_from_training_alone(planted: Path) -> None:
    before, after = make(planted), make(planted, drop_duplicates=True)
    was, now = examples_of(before), examples_of(after)
    held_out = {image for part in ("validation", "test") for image, _ in was[part]}
    assert now["train"] == [each for each in was["train"] if each[0] not in held_out]
    assert (now["validation"], now["test"]) == (was["validation"], was["test"])
    assert after.sizes["train"] == len(now["train"]) < before.sizes["train"]
    found = after.data_quality
    assert found.dropped == before.sizes["train"] - after.sizes["train"]
    assert (found.duplicates["train_test"], found.duplicates["train_validation"]) == (NONE, NONE)
    assert found.duplicates["validation_test"] == before.data_quality.duplicates["validation_test"]
    assert before.split_hash != after.split_hash
    values = np.frombuffer(b"".join(image for image, _ in now["train"]), np.uint8)
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


def test_a_study_says_that_it_drops_them(planted: Path) -> None:
    path = planted / "tiny.toml"
    path.write_text(STUDY)

    def planned(*overrides: str) -> Plan:
        return make_plan(path, RunOptions(device="cpu", workers=0, data_dir=planted / "data", overrides=overrides))

    as_it_is, without = planned(), planned("data.drop_duplicates=true")
    assert "drop_duplicates" not in as_it_is.config.definition()["data"], "as studies once were"
    assert without.config.definition()["data"]["drop_duplicates"] is True
    before, after = dry_run(as_it_is), dry_run(without)
    dropped = before["sizes"]["train"] - after["sizes"]["train"]
    assert dropped > 0
    assert f"mnist, without duplicates in training ({dropped} dropped), from" in format_dry_run(after)
    assert "duplicates" not in format_dry_run(before)


def test_a_class_that_would_have_no_example_left_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_alike(parts: Parts) -> None:
        for images, labels in parts.values():
            images[labels == 4] = 0

    monkeypatch.setattr(builtin, "MD5", tiny_mnist.write(tmp_path / "data", all_alike))
    assert make(tmp_path).data_quality.duplicates["train_test"] == Duplicates(10, 0)
    message = r"\[data\] drop_duplicates: every training example of class '4' also occurs in"
    with pytest.raises(DataError, match=message):
        make(tmp_path, drop_duplicates=True)


def test_a_set_without_copies_says_so(digits: PreparedDataset) -> None:
    assert set(digits.data_quality.duplicates.values()) == {NONE}


def test_what_is_prepared_again_reads_nothing_of_the_sealed_part(planted: Path) -> None:
    prepared = make(planted)
    shutil.rmtree(prepared.test.inputs.parent)
    assert make(planted) == prepared


def test_a_damaged_count_is_named(planted: Path) -> None:
    path = make(planted).training.train_rows.with_name("meta.json")
    meta = json.loads(path.read_text())
    for fairness in ({}, {"parts": 3}, meta["fairness"] | {"duplicates": {"train": None}}, 7):
        path.write_text(json.dumps(meta | {"fairness": fairness}))
        with pytest.raises(DataError, match=r"the cached data in .* delete that folder"):
            make(planted)


def test_equal_bytes_are_one_group_whatever_their_shape_or_type() -> None:
    rng = np.random.default_rng(0)
    table = rng.standard_normal((50, 6)).astype(np.float32)
    table[10:20] = table[:10]
    table[49], table[49, 5] = table[48], -table[48, 5]  # unlike in the last byte alone
    first, second = group_examples(table[:30], table[30:])
    assert (first[10:20] == first[:10]).all()
    assert len(set(first) | set(second)) == 40
    (backwards,) = group_examples(table[::-1])
    assert (backwards[::-1][10:20] == backwards[::-1][:10]).all()
    strided, whole = table[:, ::2], np.ascontiguousarray(table[:, ::2])
    labels = np.zeros(50, np.int64)
    assert hash_examples(strided, labels) == hash_examples(whole, labels.astype(np.uint8))


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_real_data_against_numpys_unique(real_data: Path, isolated: Path, name: str) -> None:
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
    whole, rows = np.load(files.inputs), (np.load(files.train_rows), np.load(files.validation_rows))
    parts = {
        "train": whole[rows[0]],
        "validation": whole[rows[1]],
        "test": np.load(prepared.test.inputs),
    }
    unique = {
        name: np.unique(part.reshape(len(part), -1).view("V784").ravel())
        for name, part in parts.items()
    }
    found = prepared.data_quality.duplicates
    assert found["train"].examples == len(parts["train"]) - len(unique["train"])
    for pair in ("train_test", "validation_test", "train_validation"):
        first, second = pair.split("_")
        held = parts[second].reshape(len(parts[second]), -1).view("V784").ravel()
        assert found[pair].examples == np.isin(held, unique[first]).sum(), pair
    assert set(found.values()) == {NONE}, "neither set has two images that are equal"
    coarse = np.ascontiguousarray(whole[:, ::7, ::7] >> 7).reshape(len(whole), -1)
    (groups,) = group_examples(coarse)
    _, inverse = np.unique(coarse.view("V16").ravel(), return_inverse=True)
    assert 100 < len(set(inverse)) < len(whole) / 2
    pairs = set(zip(groups.tolist(), inverse.tolist(), strict=True))
    assert len(pairs) == len(set(groups)) == len(set(inverse)), "the same classes of equal ones"
