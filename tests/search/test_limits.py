"""[limits]: every trial of a search is within, and only such a trial can win."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from harness.config.loader import load_text
from harness.config.schema import StudyConfig
from harness.errors import ConfigError, StudyError
from harness.results import Cost
from harness.search.limits import COSTS_ATTRIBUTE, OUTSIDE_ATTRIBUTE
from harness.search.open_study import open_search
from harness.search.study import Search
from harness.sweep.setting_costs import count_parameters
from harness.trial import TrialSpec
from tests.search.tiny_study import STUDY, make_result, run_trials

LIMIT = 3_000
LIMITS = f"\n[limits]\nparameters = {LIMIT}\n"


def measure(spec: TrialSpec, name: Cost) -> float:
    assert name == "parameters", "nothing else is limited"
    return count_parameters(spec, 64, 10)


def make(text: str = STUDY, study: str = "", limits: str = LIMITS) -> StudyConfig:
    return load_text(text.replace("[study]", f"[study]\n{study}") + limits, "s.toml")


def run(config: StudyConfig, folder: Path, trials: int) -> tuple[list[TrialSpec], Search]:
    with open_search(config, folder, measure=measure) as search:
        return run_trials(search, trials), search


@pytest.mark.parametrize(
    "sampler", ["tpe", pytest.param("gp", marks=pytest.mark.slow), "random", "qmc"]
)
def test_every_trial_is_within_the_limits_and_a_continued_search_is_the_same(
    sampler: str, tmp_path: Path
) -> None:
    config = make(study=f'sampler = "{sampler}"\nname = "a"')
    specs, search = run(config, tmp_path / "whole", 14)
    assert max(measure(spec, "parameters") for spec in specs) <= LIMIT
    trials = search._study.get_trials()
    assert sum(trial.user_attrs.get(OUTSIDE_ATTRIBUTE, 0) for trial in trials) > 0
    assert [trial.user_attrs[COSTS_ATTRIBUTE]["parameters"] for trial in trials] == [
        measure(spec, "parameters") for spec in specs
    ]
    assert all(trial.constraints["parameters"] <= 0 for trial in trials)
    parts = [run(config, tmp_path / "parts", count)[0] for count in (11, 3)]
    assert [*parts[0], *parts[1]] == specs
    unlimited, _ = run(make(study=f'sampler = "{sampler}"', limits=""), tmp_path / "free", 14)
    assert max(measure(spec, "parameters") for spec in unlimited) > LIMIT


def test_a_small_space_has_as_many_trials_as_settings_within(tmp_path: Path) -> None:
    text = """
[study]
trials = 30
[data]
name = "digits"
[space]
hidden = [[4], [8], [16], [300]]
activation = ["relu", "tanh"]
"""
    config = make(text, 'name = "a"')
    with open_search(config, tmp_path, measure=measure) as search:
        assert search.target == 6
        specs = run_trials(search, 6)
        assert {spec.hidden for spec in specs} == {(4,), (8,), (16,)}
        search.limits.values["parameters"] = 1
        with pytest.raises(ConfigError, match=r"no further setting .* finish this one with --tri"):
            search.ask()
        failed = search._study.get_trials()[-1]
    assert failed.state == TrialState.FAIL
    with pytest.raises(StudyError, match=r"\[limits\] parameters: 3000 -> 4000"):
        run(make(text, 'name = "a"', LIMITS.replace("3000", "4000")), tmp_path, 0)
    first = "\n[[first]]\nhidden = [300]\n"
    with pytest.raises(ConfigError, match=r"number 1 .* has 22,510 parameters, and \[limits\]"):
        run(make(text + first, 'name = "b"'), tmp_path, 0)


def test_a_setting_of_a_grid_outside_the_limits_is_trained_and_cannot_win(tmp_path: Path) -> None:
    grid = '[study]\nname = "g"\nsampler = "grid"\n[data]\nname = "digits"\n[space]\n'
    config = make(grid + "hidden = [[300], [8], [16]]\n")
    for _ in range(2):  # the second time, from the record
        with open_search(config, tmp_path, measure=measure) as search:
            for value in (0.99, 0.7, 0.8) if not search.counts.done else ():
                trial = search.ask()
                search.tell_result(trial.number, make_result(value))
            assert search.counts.complete == 3
            assert search.ranking == [(-0.8, 2), (-0.7, 1)]
            assert search.rank(0, 0.99) > search.rank(1, 0.0)


def test_a_space_is_timed_once_whatever_a_later_measurement_would_say(tmp_path: Path) -> None:
    space = "[space]\nhidden = [[4], [8], [16], [32]]\n"
    text = STUDY[: STUDY.index("[space]")] + space
    config = make(text, study='name = "a"', limits="\n[limits]\nmilliseconds = 10\n")
    targets = []
    for slower in (0, 8, -8):
        with open_search(
            config, tmp_path, measure=lambda spec, name, more=slower: spec.hidden[0] + more
        ) as search:
            targets.append(search.target)
            run_trials(search, slower == 0)
    assert targets == [2, 2, 2]


def test_what_the_first_settings_leave_out_is_drawn_within_the_limits(tmp_path: Path) -> None:
    for seed in range(8):
        first = "\n[[first]]\nlearning_rate = 0.005\n" + LIMITS
        config = make(study=f'name = "a{seed}"\nseed = {seed}', limits=first)
        with open_search(config, tmp_path, measure=measure) as search:
            spec = search.ask().spec
        assert spec.learning_rate == 0.005
        assert measure(spec, "parameters") <= LIMIT


def test_a_retry_has_the_costs_of_its_trial(tmp_path: Path) -> None:
    config = make(study='name = "a"')
    with open_search(config, tmp_path, measure=measure) as search:
        while not (trial := search.ask()).costs:
            pass
        search.tell_interrupted(trial.number, search.requeue(trial.number, "died", blamed=True))
        retry = search.ask()
        assert (retry.spec, retry.costs) == (trial.spec, trial.costs)
        assert retry.costs[0][0] == OUTSIDE_ATTRIBUTE
        assert search.get_trial(retry.number).costs == trial.costs
