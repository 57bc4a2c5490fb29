"""[data] folds in a study file: what it sets, what it excludes, and what may change later."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.study import Study
from harness.config.data_keys import parse_data_overrides
from harness.config.loader import load, load_text
from harness.config.schema import StudyConfig, fill_defaults
from harness.config.study_tables import DataTable
from harness.errors import ConfigError

STUDY = """
[data]
name = "digits"
folds = 5
[space]
learning_rate = [0.1, 0.01]
"""


def read(more: str = "", *overrides: str) -> StudyConfig:
    return load_text(STUDY + more, "mine.toml", overrides)


def test_folds_set_the_validation_share_and_switch_the_confirmation_off() -> None:
    config = read()
    assert (config.data.folds, config.data.validation) == (5, 0.2)
    assert read("", "data.time=at", "data.target=y").data.validation == 1 / 6
    assert (config.confirm.seeds, config.has_confirmation, config.redrawn_splits) == (0, False, 0)
    fresh = read("[confirm]\nseeds = 2\n")
    assert fresh.has_confirmation
    assert (fresh.confirm.resample, fresh.redrawn_splits) == (False, 0)
    assert read("", "study.sampler=grid").confirm.resample, "a grid has no [confirm] to refuse"
    plain = load_text(STUDY.replace("folds = 5", ""), "mine.toml")
    assert (plain.data.validation, plain.redrawn_splits) == (0.1, 3)
    assert "folds" not in plain.definition()["data"], "older records stay equal"


def test_an_option_replaces_the_validation_share_of_the_file() -> None:
    text = STUDY.replace("folds = 5", "validation = 0.3")
    assert load_text(text, "mine.toml", ["data.folds=3"]).data.validation == 1 / 3
    assert read("", "data.folds=0").data.validation == 0.1
    with pytest.raises(ConfigError, match=r"validation: 0.3, but 3 folds validate on 1/3 each"):
        load_text(text, "mine.toml", ["data.validation=0.3", "data.folds=3"])


@pytest.mark.parametrize("folds", range(2, 21))
def test_a_recorded_definition_is_read_again(folds: int) -> None:
    config = read("", f"data.folds={folds}")
    recorded = config.definition()["data"]
    assert recorded["folds"] == folds
    assert DataTable(**recorded) == config.data
    assert fill_defaults("data", recorded)["validation"] == 1 / folds
    rounded = read("", f"data.folds={folds}", f"data.validation={1 / folds:.7f}")
    assert rounded.data.validation == 1 / folds


def test_another_final_model_is_another_study() -> None:
    config = read('[final]\nmodel = "folds"\n')
    assert (config.final.model, read().final.model) == ("folds", "retrained")
    assert config.definition() == read().definition() | {"final": {"model": "folds"}}
    plain = load_text(STUDY.replace("folds = 5", ""), "mine.toml").definition()
    assert "final" not in plain, "older records stay equal"


def test_a_mean_of_networks_cannot_be_calibrated() -> None:
    assert read("", "study.calibrated=true").study.calibrated
    with pytest.raises(
        ConfigError, match=r"\[final\] model: the calibration of .* cannot be measured; leave"
    ):
        read('[final]\nmodel = "folds"\n', "study.calibrated=true")
    with pytest.raises(ConfigError, match=r"model: \[limits\] is for one network, .* is 5 of them"):
        read('[final]\nmodel = "folds"\n[limits]\nparameters = 1000\n')


def test_python_has_the_same_keys() -> None:
    keys = {"folds": 3, "final": {"model": "folds"}, "space": {"learning_rate": [0.1, 0.01]}}
    config = Study("mine", "digits", **keys).config  # type: ignore[arg-type]
    assert (config.data.folds, config.final.model) == (3, "folds")


MISTAKES = {
    "one fold": ("data.folds=1", r"\[?data\]? folds: 1 is no cross-validation; use 2 or more"),
    "too many": ("data.folds=21", r"folds: .*less than or equal to 20, not 21"),
    "another share": (
        "data.validation=0.3",
        r"validation: 0.3, but 5 folds validate on 1/5 each; leave out one of them",
    ),
    "own set": ("data.own_validation=true", r"own_validation: excludes folds; leave out one"),
    "ensemble": ("ensemble.size=4", r"size: an ensemble cannot be chosen with \[data\] folds"),
    "redrawn": ("confirm.resample=true", r"resample: excludes \[data\] folds; leave out one"),
    "no such model": ("final.model=best", r"\[final\] model: .*not 'best'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str) -> None:
    override, message = MISTAKES[name]
    with pytest.raises(ConfigError, match=message) as caught:
        read("", override)
    assert str(caught.value).startswith(f"--set {override}: ")
    assert "\n" not in str(caught.value)


def test_without_folds_there_is_no_final_table(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(STUDY.replace("folds = 5", "") + "[final]\nmodel = 'folds'\n")
    with pytest.raises(ConfigError, match=r"\[final\] model: needs \[data\] folds; add them, or"):
        load(path)
    with pytest.raises(ConfigError, match=r"data\.folds=5: set it in the study file"):
        parse_data_overrides("digits", ["data.folds=5"])


def test_a_misspelt_limit_comes_before_what_limits_exclude() -> None:
    with pytest.raises(ConfigError, match=r"\[limits\] paramters: unknown key; did you mean"):
        read('[final]\nmodel = "folds"\n', "limits.paramters=10")


def test_reshuffled_folds_need_folds_that_can_be_drawn_again() -> None:
    config = read("", "data.reshuffle=true")
    assert config.definition()["data"]["reshuffle"]
    assert "reshuffle" not in read().definition()["data"], "older records stay equal"
    for overrides, message in (
        (["data.folds=0"], "reshuffle: needs folds, such as folds = 5"),
        (["data.time=at", "data.target=y"], "reshuffle: excludes time, whose folds are in order"),
        (["study.pruner=wilcoxon"], "each has its own folds; choose another pruner"),
        (
            ["data.task=regression", "data.target=y", "study.objective=val/loss"],
            "val/loss is in units of each fold's .* other folds; use val/rmse",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            read("", "data.reshuffle=true", *overrides)
