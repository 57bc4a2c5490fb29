"""A search trains no settings twice, and ends when its space has none left."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.loader import load
from harness.config.schema import GRID_OR_LIST, StudyConfig
from harness.search.open_study import open_search
from harness.search.samplers import SAMPLERS
from harness.trial import TrialSpec
from tests.search.tiny_study import make_result, requeue, run_trials

SMALL = """
[study]
trials = 50
[data]
name = "digits"
[space]
depth = { low = 1, high = 2 }
width = [8, 16]
batch_norm = ["none", "before"]
batch_size = { low = 31, high = 32, log = true }
"""
SETTINGS = (2 + 4) * 2 * 2
"""Of SMALL: one or two layers, each of one of two widths."""
SEARCHES = sorted(SAMPLERS.keys() - set(GRID_OR_LIST))


def make_config(folder: Path, *overrides: str, text: str = SMALL) -> StudyConfig:
    (folder / "tiny.toml").write_text(text)
    return load(folder / "tiny.toml", overrides)


@pytest.fixture
def small(tmp_path: Path) -> StudyConfig:
    return make_config(tmp_path)


@pytest.mark.parametrize("sampler", SEARCHES)
def test_every_setting_of_a_small_space_is_trained_once(tmp_path: Path, sampler: str) -> None:
    config = make_config(tmp_path, f"study.sampler={sampler}")
    assert config.count_settings() == SETTINGS
    assert "24 different settings, not 50" in config.describe_few_settings()
    with open_search(config, tmp_path) as search:
        assert search.target == SETTINGS
        specs = run_trials(search, SETTINGS)
        assert search.target == SETTINGS
    assert len(set(specs)) == SETTINGS
    longer = make_config(tmp_path, "study.trials=99", f"study.sampler={sampler}")
    with open_search(longer, tmp_path) as search:
        assert search.target == search.counts.done == SETTINGS


@pytest.mark.parametrize("sampler", SEARCHES)
def test_a_killed_search_of_a_small_space_samples_the_same_settings(
    tmp_path: Path, sampler: str
) -> None:
    config = make_config(tmp_path, f"study.sampler={sampler}")
    with open_search(config, tmp_path / "expected") as search:
        expected = run_trials(search, SETTINGS)
    with open_search(config, tmp_path / "killed") as search:
        specs = run_trials(search, 9)
        assert search.ask().spec == expected[9]  # and the driver dies
    with open_search(config, tmp_path / "killed") as search:
        assert search.target == SETTINGS
        requeue(search, 9)
        retry = search.ask()
        assert retry.spec == expected[9], "a retry is no repeat"
        requeue(search, retry.number, blamed=True)
        specs += run_trials(search, SETTINGS - 9)
        assert search.counts.done == search.target == SETTINGS
    assert specs == expected


def test_settings_count_as_sampled_whatever_became_of_their_trial(
    small: StudyConfig, tmp_path: Path
) -> None:
    specs = []
    with open_search(small, tmp_path) as search:
        for number in range(SETTINGS):
            trial = search.ask()
            specs.append(trial.spec)
            if number % 3 == 0:
                search.tell_failure(trial.number, "diverged")
            elif number % 3 == 1:
                search.tell_result(trial.number, make_result(0.1, "pruned"))
    assert len(set(specs)) == SETTINGS


def test_exact_zeros_make_a_continuous_space_repeat_itself(tmp_path: Path) -> None:
    space = "l1 = { low = 1e-6, high = 1e-3, log = true, zero = 0.9 }"
    text = f'[data]\nname = "digits"\n[study]\nsampler = "random"\n[space]\n{space}\n'
    config = make_config(tmp_path, text=text)
    assert config.count_settings() is None
    assert not config.describe_few_settings()
    with open_search(config, tmp_path) as search:
        specs = run_trials(search, 20)
    assert [spec.l1 for spec in specs].count(0) == 1
    assert len(set(specs)) == 20


def test_a_space_too_large_to_list_is_sampled_at_random_where_the_sampler_repeats_itself(
    small: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.search.distinct.MAX_LISTED", 1)
    monkeypatch.setattr("harness.search.distinct.MAX_DRAWS", 1)
    with open_search(small, tmp_path) as search:
        assert len(set(run_trials(search, 20))) == 20


@pytest.mark.parametrize("space", ["", 'optimizer = ["sgd"]'])
def test_a_space_of_one_setting_is_trained_once(tmp_path: Path, space: str) -> None:
    config = make_config(tmp_path, text=f'[data]\nname = "digits"\n[space]\n{space}\n')
    assert "has only one setting, not 50" in config.describe_few_settings()
    with open_search(config, tmp_path) as search:
        assert search.target == 1


def test_a_record_with_repeats_is_continued_without_new_ones(
    small: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 0.1.0 trained repeats, and left a failed trial without settings."""

    class NothingSampled:
        repeats = 0

        def __init__(self, *_: object) -> None: ...
        def add(self, spec: TrialSpec, ordinal: int) -> None: ...
        def has_before(self, spec: TrialSpec, ordinal: int) -> bool:
            return False

    with monkeypatch.context() as patch:
        patch.setattr("harness.search.study.SampledSettings", NothingSampled)
        with open_search(small, tmp_path) as search:
            older = run_trials(search, 40)
    distinct = len(set(older))
    assert distinct < SETTINGS
    with open_search(small, tmp_path) as search:
        left = SETTINGS - distinct
        assert search.target == 40 + left
        assert search.counts.done == 40
        newer = run_trials(search, left)
        assert search.target == search.counts.done == 40 + left
    assert set(older).isdisjoint(newer)
    assert len(set(older) | set(newer)) == SETTINGS
