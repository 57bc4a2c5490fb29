"""Folds of a trial: drawn from its settings, fitted to its own rows, recorded in one order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from harness.data.folds import draw_folds
from harness.data.prepare import PreparedDataset, prepare
from harness.data.reshuffled_folds import TrialFolds, identify_settings, load_trial_folds
from harness.data.split_rule import SplitRule
from harness.data.table_features import fit_features, read_layout
from harness.data.torch_datasets import map_tensor
from harness.sweep.fold_outputs import select_final_files
from harness.trial import TrialSpec, derive_seed

SPEC = TrialSpec(hidden=(16,), learning_rate=0.01)


def make(name: str, cache: Path, **options: Any) -> PreparedDataset:
    defaults = {"validation": 0.25, "test": 0.2, "split_seed": 0, "normalize": True, "folds": 4}
    return prepare(name, **defaults | {"reshuffle": True} | options, cache=cache / "cache")


def write_table(folder: Path) -> str:
    rng = np.random.default_rng(0)
    kinds = rng.choice(["a", "b", "c"], 200)
    kinds[:2] = ["x", "y"]  # levels that only one row has
    pd.DataFrame(
        {
            "value": np.where(rng.random(200) < 0.2, np.nan, rng.normal(size=200)),
            "kind": kinds,
            "patient": [f"p{row // 7}" for row in range(200)],
            "ill": rng.choice(["no", "yes"], 200),
            "dose": rng.lognormal(size=200),
        }
    ).to_csv(folder / "rows.csv", index=False)
    return str(folder / "rows.csv")


def list_held_out(folds: TrialFolds) -> list[list[int]]:
    return [each.validation.rows.tolist() for each in folds.splits]


def test_each_setting_and_seed_has_folds_of_its_own(tmp_path: Path) -> None:
    files = make("digits", tmp_path).training
    first = load_trial_folds(files, SPEC)
    again = load_trial_folds(files, TrialSpec.from_dict(SPEC.to_dict()))
    assert list_held_out(first) == list_held_out(again)
    others = [replace(SPEC, seed=1), replace(SPEC, learning_rate=0.02)]
    drawn = [list_held_out(load_trial_folds(files, spec)) for spec in others]
    study = [np.load(each.validation_rows).tolist() for each in files.folds]
    assert len({str(each) for each in (list_held_out(first), *drawn, study)}) == 4
    labels, settings = np.load(files.labels), '{"hidden": [16], "learning_rate": 0.01}'
    assert identify_settings(SPEC) == settings, "a later version has more settings"
    seed = derive_seed("folds", 0, settings, 0) % 2**32
    rows = draw_folds(labels, 4, seed, SplitRule(), files.classes, "")
    assert list_held_out(first) == [held_out.tolist() for _, held_out in rows]
    fixed = make("digits", tmp_path, reshuffle=False).training
    same = load_trial_folds(fixed, SPEC)
    assert (list_held_out(same), same.order) == (study, None)


@pytest.mark.parametrize(
    "options",
    [
        {"target": "ill", "ignore": ["patient"]},
        {"target": "dose", "task": "regression", "stratify": True, "normalize": False},
        {"target": "ill", "group": "patient", "normalize": "quantile"},
    ],
)
def test_features_and_statistics_are_those_of_the_trials_rows(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    files = make(write_table(tmp_path), tmp_path, **options).training
    folds = load_trial_folds(files, SPEC)
    plan = files.reshuffling
    assert plan is not None
    layout = read_layout(plan.fitter.meta)
    assert layout is not None
    cells = np.load(plan.fitter.training / "inputs.npy")
    scaling = options.get("normalize") if options.get("normalize") == "quantile" else None
    for splits in folds.splits:
        rows = splits.train.rows.numpy()
        transform = fit_features(cells, layout, rows, scaling)
        expected = transform.apply(cells, layout)
        np.testing.assert_array_equal(splits.train.inputs.numpy(), expected)
        assert splits.features == transform.groups
        numbers = [n for n, group in enumerate(transform.groups) if not group]
        mean = expected[rows][:, numbers].mean(0, dtype=np.float64)
        wanted = mean if options.get("normalize", True) is True else 0 * mean
        np.testing.assert_allclose(splits.mean[numbers].numpy(), wanted, atol=1e-6)
        targets = splits.train.labels[splits.train.rows].double()
        if "task" in options:
            assert splits.target_mean == pytest.approx(float(targets.mean()))
        if "group" in options:
            patients = map_tensor(plan.paths[-1])
            held_out = set(patients[splits.validation.rows].tolist())
            assert not held_out & set(patients[splits.train.rows].tolist())
    names = {each.columns for each in (files, *files.folds)}
    assert len(names) > 1 or "group" in options, "rare levels are in some folds alone"


def test_predictions_are_recorded_in_the_order_of_the_studys_folds(tmp_path: Path) -> None:
    files = make("digits", tmp_path).training
    folds = load_trial_folds(files, SPEC)
    labels = torch.cat([each.validation.labels[each.validation.rows] for each in folds.splits])
    assert folds.order is not None
    ordered = labels[folds.order].to(torch.uint8).numpy().tobytes()
    assert ordered == files.validation_labels() != labels.to(torch.uint8).numpy().tobytes()


def test_a_copy_of_a_validation_example_is_dropped_from_the_trials_training_set(
    tmp_path: Path,
) -> None:
    x = np.random.default_rng(0).integers(0, 256, (90, 4)).astype(np.uint8)
    x[60:] = x[:30]
    np.savez(tmp_path / "copies.npz", x=x, y=np.arange(90) % 2)
    name = str(tmp_path / "copies.npz")
    for drop in (False, True):
        files = make(name, tmp_path, test=0, drop_duplicates=drop).training
        shared = 0
        for splits in load_trial_folds(files, SPEC).splits:
            train, held_out = (
                {x[row].tobytes() for row in part.rows.tolist()}
                for part in (splits.train, splits.validation)
            )
            shared += len(train & held_out)
        assert bool(shared) != drop


def test_folds_are_drawn_again_if_all_of_a_class_are_copies(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 4)).astype(np.uint8)
    x[1], x[3] = x[0], x[2]  # class 1 has two examples, each of them twice
    np.savez(tmp_path / "copies.npz", x=x, y=(np.arange(40) < 4).astype(np.int64))
    options = {"folds": 2, "split_seed": 1, "test": 0, "drop_duplicates": True}
    files = make(str(tmp_path / "copies.npz"), tmp_path, **options).training
    for seed in range(9):
        for splits in load_trial_folds(files, replace(SPEC, seed=seed)).splits:
            held_out = [int(row) // 2 for row in splits.validation.rows if row < 4]
            assert len(set(held_out)) == 1, "both copies of one example"


def test_a_class_of_one_group_fails_the_trial_with_a_reason(tmp_path: Path) -> None:
    options = {"target": "ill", "group": "patient", "test": 0}
    files = make(write_table(tmp_path), tmp_path, **options).training
    assert files.reshuffling is not None
    patients = map_tensor(files.reshuffling.paths[-1]).numpy()
    np.save(tmp_path / "labels.npy", (patients == 3).astype(np.int64))
    with pytest.raises(ValueError, match=r"no training example of class 'yes'.*\(20 draws\)"):
        load_trial_folds(replace(files, labels=tmp_path / "labels.npy"), SPEC)


def test_the_files_of_the_final_model_have_the_trials_folds(tmp_path: Path) -> None:
    """The outputs of a champion's folds are read through them."""
    for options in ({}, {"target": "ill", "ignore": ["patient"]}):
        name = write_table(tmp_path) if options else "digits"
        prepared = make(name, tmp_path, **options)
        final = select_final_files(prepared).training
        assert len(np.load(final.train_rows)) == prepared.sizes["validation"], "those of all folds"
        folds, again = (load_trial_folds(each, SPEC) for each in (prepared.training, final))
        assert list_held_out(again) == list_held_out(folds)
        for one, other in zip(folds.splits, again.splits, strict=True):
            assert torch.equal(one.train.inputs, other.train.inputs)
            assert torch.equal(one.mean, other.mean)


def test_the_split_hash_says_that_folds_are_reshuffled(tmp_path: Path) -> None:
    hashes = [make("digits", tmp_path, reshuffle=value).split_hash for value in (True, False)]
    assert len(set(hashes)) == 2
