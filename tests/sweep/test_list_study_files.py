"""The study files of grids and lists: what is refused, what an override does."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.loader import load
from harness.errors import ConfigError
from tests.support.list_study import LIST, write


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("hidden = []", "hiden = []"),
            r"\[\[trial\]\] number 1: hiden: unknown key; did you mean",
        ),
        (
            ('name = "linear"', 'name = "a\\nb"'),
            r"number 1: name: must be text on one line, not 'a",
        ),
        (
            ('name = "linear"', f'name = "{"long" * 30}"'),
            r"name: at most 80 characters, not 120: long",
        ),
        (("hidden = []", "seed = 3"), r"\[\[trial\]\] number 1: seed: belongs in \[study\]"),
        (("hidden = [24]", "depth = 3"), r"number 2: depth: belongs in \[space\]"),
        (("hidden = [24]", "hidden = [0]"), r"number 2: hidden: every width must be at least 1"),
        (("hidden = [24]", "batch_size = 1"), r"number 2: batch_size: BatchNorm needs at least 2"),
        (('name = "linear"', "name = 3"), r"number 1: name: must be text on one line, not 3"),
        (("hidden = [24]", 'name = "linear"'), r"number 2: name: 'linear' is taken"),
        (
            ('hidden = [24]\nbatch_norm = "before"', "hidden = []"),
            r"2: the same settings as 'linear'",
        ),
        (
            ("seeds = 3", "seeds = 0"),
            r"\[study\] seeds: input should be greater than or equal to 1",
        ),
        (("seeds = 3", "trials = 3"), r"trials: 3, but 2 settings with 1 seed make 2; raise seeds"),
        (("seeds = 3", 'sampler = "tpe"'), r"sampler: tpe takes no \[\[trial\]\]"),
        (("[[trial]]", "[trial]", 1), r"cannot be read as TOML"),
        (("[study]", "trial = []\n[study]"), r"cannot be read as TOML"),
        (
            ("[[trial]]", "[space]\nl1 = [0.0]\n[[trial]]", 1),
            r"\[space\] l1: a list samples nothing",
        ),
        (("[[trial]]", "[[trail]]", 1), r"\[trail\]: unknown table; did you mean 'trial'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_each_mistake_is_one_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = write(tmp_path, LIST.replace(*change))
    with pytest.raises(ConfigError, match=message) as raised:
        load(path)
    assert "\n" not in str(raised.value)


def test_an_empty_list_is_a_mistake(tmp_path: Path) -> None:
    for trial in ("trial = []", "trial = 3", "trial = [1]", "trial = {}"):
        path = write(tmp_path, f"{trial}\n{LIST.split('[[trial]]')[0]}")
        with pytest.raises(ConfigError, match="trial: must be an array of tables; write"):
            load(path)


def test_seeds_and_lists_are_refused_for_searches(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="seeds: repeats a grid or a list, but the sampler is tpe"
    ):
        load("quickstart", ["study.seeds=3"])
    with pytest.raises(ConfigError, match=r"sampler: a list needs \[\[trial\]\] tables"):
        load("quickstart", ["study.sampler=list"])
    losses = LIST.replace("hidden = []", 'loss = "mse"')
    with pytest.raises(
        ConfigError, match="objective: val/loss is not comparable between different losses"
    ):
        load(write(tmp_path, losses), ["study.objective=val/loss"])


def test_an_override_applies_to_every_setting(tmp_path: Path) -> None:
    path = write(tmp_path, LIST + "[[trial]]\nhidden = [30]\n[[trial]]\nhidden = [40]\n")
    config = load(path, ["train.hidden=[7]"])  # those that it makes alike are one
    assert config.settings == {"linear": {}, "batch_norm = before": {"batch_norm": "before"}}
    assert config.train["hidden"] == (7,)
    assert config.study.trials == 6
    assert config.study.pruner == "none"
