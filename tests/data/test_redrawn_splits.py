"""Splits that are drawn again: new validation sets, the same classes, statistics of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.prepare import prepare
from harness.data.redrawn_splits import draw_validation
from harness.data.torch_datasets import load_splits
from harness.data.training_files import TrainingFiles


def prepare_digits(cache: Path, redrawn: int, **options: object) -> TrainingFiles:
    defaults: dict[str, object] = {"validation": 0.2, "test": 0.2, "split_seed": 0}
    return prepare(
        "digits",
        normalize=True,
        cache=cache,
        redrawn=redrawn,
        **defaults | options,  # type: ignore[arg-type]
    ).training


def read_rows(files: TrainingFiles) -> tuple[set[int], set[int]]:
    train, validation = map(np.load, files.row_paths)
    return set(train.tolist()), set(validation.tolist())


def test_new_validation_sets_are_parts_of_the_training_set(tmp_path: Path) -> None:
    files = prepare_digits(tmp_path, 3)
    train, validation = read_rows(files)
    parts = [read_rows(each) for each in files.redrawn]
    for new_train, new_validation in parts:
        assert new_validation <= train
        assert len(new_validation) == len(validation)
        assert new_train == (train | validation) - new_validation
    union = set.union(*(part for _, part in parts))
    assert len(union) == 3 * len(validation), "no example is in two of them"
    labels = np.load(files.labels)
    shares = np.bincount(labels[list(validation)]) / len(validation)
    for _, part in parts:
        assert np.bincount(labels[list(part)]) / len(part) == pytest.approx(shares, abs=0.01)


def test_a_split_has_the_statistics_of_its_training_set(tmp_path: Path) -> None:
    files = prepare_digits(tmp_path, 1)
    split = load_splits(files.select_split(1))
    inputs = split.train.inputs[split.train.rows].double()
    assert split.mean[0].item() == pytest.approx(inputs.mean().item(), rel=1e-6)
    assert split.mean[0] != load_splits(files).mean[0]


def test_more_splits_keep_the_first_ones(tmp_path: Path) -> None:
    """A study may be confirmed over more seeds later."""
    few, more = prepare_digits(tmp_path, 2), prepare_digits(tmp_path / "other", 5)
    assert [read_rows(each) for each in more.redrawn[:2]] == [
        read_rows(each) for each in few.redrawn
    ]


def test_a_larger_validation_set_cannot_be_drawn_again(tmp_path: Path) -> None:
    assert prepare_digits(tmp_path, 2, validation=0.6).redrawn == ()


def test_there_are_no_more_splits_than_disjoint_ones(tmp_path: Path) -> None:
    assert len(prepare_digits(tmp_path, 10).redrawn) == 3, "1,149 examples, 288 in each"
    labels = np.arange(10) % 2
    parts = [draw_validation(labels, 4, index, 0).tolist() for index in range(2)]
    assert set(parts[0]).isdisjoint(parts[1])
    assert parts != [draw_validation(labels, 4, index, 1).tolist() for index in range(2)]


def test_the_parts_of_a_regression_are_random() -> None:
    targets = np.linspace(0, 1, 100, dtype=np.float32)
    part = draw_validation(targets, 30, 0, 0)
    assert len(set(part.tolist())) == 30
    assert 0.3 < targets[part].mean() < 0.7


def test_copies_are_left_out_of_the_new_training_sets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (90, 4)).astype(np.uint8)
    x[60:] = x[:30]  # every third example occurs twice
    np.savez(tmp_path / "copies.npz", x=x, y=np.arange(90) % 2)
    options = {"validation": 0.2, "test": 0.2, "split_seed": 0, "normalize": True}
    name = str(tmp_path / "copies.npz")
    for drop, shared in ((False, True), (True, False)):
        files = prepare(
            name,
            cache=tmp_path,
            redrawn=2,
            drop_duplicates=drop,
            **options,  # type: ignore[arg-type]
        ).training
        inputs = np.load(files.inputs)
        for each in files.redrawn:
            train, validation = (
                {inputs[row].tobytes() for row in rows} for rows in read_rows(each)
            )
            assert bool(train & validation) == shared
