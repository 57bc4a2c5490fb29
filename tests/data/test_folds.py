"""Folds: every example validates once, no fold learns from its validation set, all is cached."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedKFold, TimeSeriesSplit

from harness.data.cache import read_meta
from harness.data.folds import draw_folds
from harness.data.leakage import Duplicates
from harness.data.prepare import PreparedDataset, prepare
from harness.data.split_notes import describe_sizes
from harness.data.split_rule import BINS, SplitRule
from harness.data.table_features import fit_features, read_layout, read_transform
from harness.data.torch_datasets import load_splits
from harness.data.types import Array
from harness.errors import DataError
from harness.trial import WHOLE

OPTIONS: dict[str, Any] = {"validation": 0.2, "test": 0.2, "split_seed": 0, "normalize": True}


def make(name: str, cache: Path, **options: Any) -> PreparedDataset:
    return prepare(name, **OPTIONS | options, cache=cache / "cache")


def write_table(folder: Path, rows: int = 200) -> str:
    rng = np.random.default_rng(0)
    kinds = rng.choice(["a", "b", "c", "d"], rows)
    kinds[:3] = ["x", "y", "z"]  # levels that only one row has
    values = np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows))
    pd.DataFrame(
        {
            "value": values,
            "kind": kinds,
            "patient": [f"p{row // 7}" for row in range(rows)],
            "at": rng.integers(0, 60, rows),
            "ill": rng.choice(["no", "yes"], rows, p=[0.8, 0.2]),
            "dose": rng.normal(size=rows),
        }
    ).to_csv(folder / "rows.csv", index=False)
    return str(folder / "rows.csv")


def draw(labels: Array, folds: int, rule: SplitRule | None = None) -> list[tuple[Array, Array]]:
    classes = [] if labels.dtype.kind == "f" else [str(each) for each in np.unique(labels)]
    return draw_folds(labels, folds, 0, rule or SplitRule(), classes, "rows")


def check_partition(parts: list[tuple[Array, Array]], examples: int) -> None:
    """Every example is in one validation set, and in the training set of all other folds."""
    everything = list(range(examples))
    assert sorted(itertools.chain(*(held_out.tolist() for _, held_out in parts))) == everything
    for part in parts:
        assert sorted(np.concatenate(part).tolist()) == everything
        assert all(np.all(np.diff(rows) > 0) for rows in part), "sorted"


@pytest.mark.parametrize("folds", [2, 3, 5, 20])
@pytest.mark.parametrize("examples", [40, 61, 199])
def test_folds_of_classes_are_a_partition_with_equal_shares(folds: int, examples: int) -> None:
    labels = np.random.default_rng(examples).choice(4, examples, p=[0.6, 0.25, 0.1, 0.05])
    labels[:8] = [0, 0, 1, 1, 2, 2, 3, 3]  # a class may have fewer examples than folds
    parts = draw(labels, folds)
    check_partition(parts, examples)
    assert [len(held_out) for _, held_out in parts] == [
        -(-(examples - index) // folds) for index in range(folds)
    ], "the first fold has ceil(N / folds)"
    counts = np.array([np.bincount(labels[held_out], minlength=4) for _, held_out in parts])
    assert np.ptp(counts, axis=0).max() <= 1
    if np.bincount(labels).min() >= folds:
        theirs = [
            np.bincount(labels[held_out], minlength=4)
            for _, held_out in StratifiedKFold(folds).split(labels, labels)
        ]
        assert sorted(map(tuple, counts)) == sorted(map(tuple, theirs))
    other = draw_folds(labels, folds, 1, SplitRule(), list("0123"), "rows")
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(parts, other, strict=True))


def test_folds_of_a_regression_are_random_or_stratified() -> None:
    targets = np.random.default_rng(0).normal(size=103).astype(np.float32)
    plain, stratified = draw(targets, 5), draw(targets, 5, SplitRule(stratify=True))
    for parts in (plain, stratified):
        check_partition(parts, 103)
        assert [len(held_out) for _, held_out in parts] == [21, 21, 21, 20, 20]
    bins = np.argsort(np.argsort(targets)) * BINS // 103
    counts = np.array([np.bincount(bins[held_out], minlength=BINS) for _, held_out in stratified])
    assert np.ptp(counts, axis=0).max() <= 1
    assert len({float(np.mean(targets[held_out])) for _, held_out in plain}) == 5


@pytest.mark.parametrize("is_regression", [False, True])
def test_groups_stay_whole(is_regression: bool) -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 23, 150)
    labels = rng.normal(size=150).astype(np.float32) if is_regression else rng.integers(0, 2, 150)
    parts = draw(labels, 5, SplitRule(groups=groups))
    check_partition(parts, 150)
    assert all(set(groups[train]).isdisjoint(groups[held_out]) for train, held_out in parts)
    few = len(np.unique(groups))
    check_partition(draw(labels, few, SplitRule(groups=groups)), 150)
    with pytest.raises(DataError, match=r"group has only 23 values; use at most as many folds"):
        draw(labels, few + 1, SplitRule(groups=groups))


@pytest.mark.parametrize("folds", [2, 5, 9])
def test_time_goes_forward(folds: int) -> None:
    times = np.random.default_rng(0).permutation(121)
    parts = draw(np.zeros(121, np.float32), folds, SplitRule(times=times.astype(float)))
    sizes = [len(held_out) for _, held_out in parts]
    assert sizes[0] == -(-121 // (folds + 1))
    assert max(sizes) - min(sizes) <= 1
    end = 121
    for train, held_out in parts:
        start = end - len(held_out)
        assert sorted(times[held_out]) == list(range(start, end)), "the rows before the later fold"
        assert sorted(times[train]) == list(range(start)), "all rows before are trained on"
        end = start
    even = np.arange(20.0 * (folds + 1))
    ours = draw(np.zeros(len(even), np.float32), folds, SplitRule(times=even))
    theirs = [rows for pair in TimeSeriesSplit(folds).split(even) for rows in pair]
    assert [rows.tolist() for pair in ours[::-1] for rows in pair] == [
        rows.tolist() for rows in theirs
    ]


@pytest.mark.parametrize("seed", range(20))
def test_rows_of_one_time_stay_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.array([0, 1, 2, 3, 4, 5, *rng.integers(0, 6 + seed % 5, 74)]) ** 3.0
    end = np.inf
    for train, held_out in draw(np.zeros(80, np.float32), 5, SplitRule(times=times)):
        start = times[held_out].min()
        assert train.tolist() == np.flatnonzero(times < start).tolist() != []
        assert held_out.tolist() == np.flatnonzero((times >= start) & (times < end)).tolist()
        end = start
    with pytest.raises(DataError, match=r"time has only 5 different values, .* use fewer folds"):
        draw(np.zeros(80, np.float32), 5, SplitRule(times=np.arange(80.0) % 5))


def test_a_class_without_training_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows: fold \d has no training example of class '1'; use"):
        draw(np.array([0] * 30 + [1]), 5)
    with pytest.raises(DataError, match=r"only 3 examples to train and validate; use fewer"):
        draw(np.zeros(3, np.float32), 4)
    table = write_table(tmp_path)
    with pytest.raises(DataError, match=r"rows\.csv: \[data\] folds = 20: \[data\] group has only"):
        make(table, tmp_path, folds=20, target="ill", group="patient", test=0.5)


RULES: dict[str, dict[str, Any]] = {
    "classes": {"target": "ill"},
    "stratified": {"target": "dose", "task": "regression", "stratify": True},
    "groups": {"target": "ill", "group": "patient"},
    "time": {"target": "dose", "task": "regression", "time": "at"},
    "copies": {"target": "ill", "drop_duplicates": True, "ignore": ["dose", "at", "patient"]},
}


@pytest.mark.parametrize("rule", RULES)
def test_each_fold_has_files_of_its_own(rule: str, tmp_path: Path) -> None:
    table = write_table(tmp_path)
    prepared = make(table, tmp_path, folds=4, **RULES[rule])
    files, whole = prepared.training, prepared.training.select_split(WHOLE)
    assert len(files.folds) == 4
    assert files.folds[0] == replace(files, folds=(), whole=None)
    assert files.select_split(0) is files
    decoded, labels, in_all = files.labels.parent.parent, np.load(files.labels), []
    layout = read_layout(read_meta(decoded, {"table"}))
    assert layout is not None
    cells = np.load(decoded / "training" / "inputs.npy")
    for number, each in enumerate((*files.folds, whole)):
        train, held_out = map(np.load, each.row_paths)
        split = load_splits(each)
        inputs = np.load(each.inputs)[train]
        scaled = np.array(each.std) != 1
        assert np.array(each.mean)[scaled] == pytest.approx(inputs.mean(0)[scaled], abs=1e-5)
        if rule in ("stratified", "time"):
            assert each.target_mean == pytest.approx(labels[train].mean())
        assert each.transform is not None
        transform = fit_features(cells, layout, train)
        assert read_transform(each.transform).to_json() == transform.to_json()
        assert np.array_equal(np.load(each.inputs), transform.apply(cells, layout))
        assert each.columns == transform.names
        assert split.train.inputs.shape[1:] == each.shape == (len(each.columns),)
        if number < 4:
            assert not set(train.tolist()) & set(held_out.tolist())
            in_all.append(held_out)
    pool = len(labels)
    held_out = np.concatenate(in_all)
    assert len(np.unique(held_out)) == len(held_out) == prepared.sizes["validation"]
    assert (len(held_out) == pool) == (rule != "time")
    assert prepared.sizes["train"] == len(np.load(files.train_rows))
    kind = np.uint8 if prepared.training.classes else np.float32
    assert files.validation_labels() == labels[held_out].astype(kind).tobytes()
    rows = np.load(whole.train_rows)
    assert (len(rows) < pool) == (rule == "copies"), "only copies of test examples are dropped"
    assert np.array_equal(np.load(whole.validation_rows), np.load(files.validation_rows))
    paths = {path for each in (*files.folds, whole) for path in (each.inputs, *each.row_paths)}
    assert paths | {files.labels} == set(files.paths)
    assert len(set(files.paths)) == len(files.paths)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    assert make(table, tmp_path, folds=4, **RULES[rule]) == prepared
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    hashes = {make(table, tmp_path, folds=n, **RULES[rule]).split_hash for n in (0, 3)}
    assert len(hashes | {prepared.split_hash}) == 3


def test_duplicates_are_counted_over_all_folds(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (90, 4)).astype(np.uint8)
    x[60:] = x[:30]  # 30 pairs
    np.savez(tmp_path / "copies.npz", x=x, y=np.arange(90) % 2)
    kept = make(str(tmp_path / "copies.npz"), tmp_path, folds=3, test=0)
    parts = [tuple(map(np.load, each.row_paths)) for each in kept.training.folds]
    labels = [{x[row].tobytes() for row in train} for train, _ in parts]
    shared = sum(
        x[row].tobytes() in train
        for train, (_, held_out) in zip(labels, parts, strict=True)
        for row in held_out
    )
    assert shared
    assert kept.data_quality.duplicates["train_validation"] == Duplicates(shared, 0)
    assert sum(kept.data_quality.parts["validation"].by_class) == 90
    dropped = make(str(tmp_path / "copies.npz"), tmp_path, folds=3, test=0, drop_duplicates=True)
    for each in dropped.training.folds:
        train, held_out = ({x[n].tobytes() for n in np.load(path)} for path in each.row_paths)
        assert not train & held_out
    assert dropped.data_quality.duplicates["train_validation"] == Duplicates(0, 0)
    assert dropped.data_quality.dropped == shared, "both of a pair that two folds share"
    assert len(np.load(dropped.training.select_split(WHOLE).train_rows)) == 90


def test_without_folds_nothing_has_changed(tmp_path: Path) -> None:
    """The hash and the folders of version 0.1: what is on record and in the cache stays valid."""
    plain = make("digits", tmp_path, redrawn=2)
    assert plain.split_hash.startswith("d807efd65ae831f3")
    assert {path.parent.name for path in plain.training.paths} == {
        "training",
        "split-829b05c6d664",
        "split-829b05c6d664-redrawn-ab395cb4c419",
        "split-829b05c6d664-redrawn-923682bea6d5",
    }
    assert (plain.training.folds, plain.training.whole) == ((), None)
    assert describe_sizes(plain.sizes, 0) == "1,149 train, 288 validation, 360 test"
    with pytest.raises(ValueError, match="without folds"):
        plain.training.select_split(WHOLE)
    folded = make("digits", tmp_path, folds=5, redrawn=2)
    assert folded.training.redrawn == ()
    assert describe_sizes(folded.sizes, 5) == "1,149 train, 1,437 validation in 5 folds, 360 test"
    assert [len(np.load(each.validation_rows)) for each in folded.training.folds] == [
        *(288, 288, 287, 287, 287)
    ]
