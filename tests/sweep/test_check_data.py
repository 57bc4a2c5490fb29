"""Settings that a study's data does not allow are refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.errors import ConfigError
from harness.sweep.ensemble import halve_validation
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan

STUDY = """
[study]
trials = 2
objective = "val/{objective}"
[data]
name = "{table}"
target = "{target}"
validation = {validation}
test = 0
{data}
[train]
hidden = [8]
epochs = 2
batch_size = 8
[space]
learning_rate = [0.1, 0.01]
{more}
"""
DEFAULTS = {"target": "ill", "objective": "accuracy", "validation": 0.3, "data": "", "more": ""}
ENSEMBLE = "[ensemble]\nsize = 4"


def prepare(folder: Path, frame: pd.DataFrame, **values: object) -> PreparedDataset:
    """Write a study of the table, and prepare its data; `values` replace DEFAULTS."""
    frame.to_csv(folder / "rows.csv", index=False)
    path = folder / "study.toml"
    path.write_text(STUDY.format(table=folder / "rows.csv", **DEFAULTS | values))
    return make_plan(path, RunOptions(home=folder / "mlruns")).prepare()


def make_frame(ill: list[int]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = np.array(["no", "yes"])[ill]
    return pd.DataFrame({"x": rng.normal(size=len(ill)), "at": range(len(ill)), "ill": names})


def test_auc_is_refused_for_a_validation_set_of_one_class(tmp_path: Path) -> None:
    frame = make_frame([1, 1] + [0] * 58)
    prepare(tmp_path, frame, objective="f1", validation=0.1)
    with pytest.raises(
        ConfigError, match=r"val/auc needs .* the validation set has only 'no'; use"
    ):
        prepare(tmp_path, frame, objective="auc", validation=0.1)


@pytest.mark.parametrize("target", ["ill", "x"])
def test_an_ensembles_halves_keep_groups_whole(tmp_path: Path, target: str) -> None:
    frame = make_frame([0, 1] * 100)
    frame["patient"] = [f"p{number // 5}" for number in range(200)]
    more = {"objective": "rmse", "data": 'task = "regression"\n'} if target == "x" else {"data": ""}
    data = more.pop("data") + 'group = "patient"'
    prepared = prepare(tmp_path, frame, target=target, data=data, more=ENSEMBLE, **more)
    validation = load_splits(prepared.training).validation
    halves = halve_validation(prepared.training, validation)
    patients = frame["patient"].to_numpy()
    first, second = (set(patients[validation.rows.numpy()[half]]) for half in halves)
    assert first
    assert second
    assert not first & second
    assert sorted(np.concatenate(halves)) == list(range(prepared.sizes["validation"]))


def test_an_ensemble_is_refused_for_a_validation_set_of_one_group(tmp_path: Path) -> None:
    frame = make_frame([0, 1] * 30)
    frame["patient"] = ["a"] * 40 + ["b"] * 20
    with pytest.raises(ConfigError, match=r"\[ensemble\]: needs validation examples of two groups"):
        prepare(tmp_path, frame, data='group = "patient"', more=ENSEMBLE)


def test_each_fold_is_checked(tmp_path: Path) -> None:
    """The AUC is a mean over the folds, so each needs two classes; a batch must fit each."""
    path = tmp_path / "study.toml"
    text = STUDY.replace("validation = {validation}", "folds = {folds}")

    def prepare_folds(**values: object) -> PreparedDataset:
        path.write_text(text.format(table=tmp_path / "rows.csv", **DEFAULTS | values))
        return make_plan(path, RunOptions(home=tmp_path / "mlruns")).prepare()

    make_frame([1, 1] + [0] * 58).to_csv(tmp_path / "rows.csv", index=False)
    prepared = prepare_folds(folds=3, objective="f1")
    assert prepared.sizes == {"train": 40, "validation": 60, "test": 0}
    with pytest.raises(
        ConfigError, match=r"the validation set of fold \d has only 'no'; use fewer folds, or an"
    ):
        prepare_folds(folds=3, objective="auc")
    assert prepare_folds(folds=2, objective="auc").sizes["validation"] == 60
    make_frame([0, 1] * 24).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(
        ConfigError, match=r"batch_size 8 is more than the 6 training .* in the smallest fold; cho"
    ):
        prepare_folds(folds=7, data='time = "at"')
    assert prepare_folds(folds=5, data='time = "at"').sizes["validation"] == 40
    with pytest.raises(ConfigError, match=r"\[final\] model: the networks of a table's folds take"):
        prepare_folds(folds=5, more='[final]\nmodel = "folds"')
