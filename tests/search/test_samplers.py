"""Samplers and pruners: all of them by name, and what they choose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from optuna.search_space import IntersectionSearchSpace

from harness.config.loader import load
from harness.config.schema import GRID_OR_LIST, StudyConfig
from harness.config.study_tables import StudyTable
from harness.errors import ConfigError
from harness.results import StopReason
from harness.search.open_study import open_search
from harness.search.samplers import PRUNERS, RANDOM_TRIALS, SAMPLERS, check_space
from tests.search.tiny_study import STUDY, make_metrics, make_result, requeue, run_trials, score


@pytest.mark.parametrize("sampler", sorted(SAMPLERS.keys() - set(GRID_OR_LIST)))
def test_samplers_stay_in_the_space_and_those_that_learn_limit_the_trials_in_flight(
    config: StudyConfig, tmp_path: Path, sampler: str
) -> None:
    study = config.study.model_copy(update={"sampler": sampler})
    with open_search(replace(config, study=study), tmp_path) as search:
        assert search.in_flight_limit is None
        specs = run_trials(search, 16)
        assert search.in_flight_limit == (2 if SAMPLERS[sampler].learns else None)
    assert len(set(specs)) == 16
    for spec in specs:
        assert 1 <= len(spec.hidden) <= 3
        assert all(8 <= width <= 64 for width in spec.hidden)
        assert 1e-4 <= spec.learning_rate <= 1e-1
        assert spec.l1 == 0 or 1e-6 <= spec.l1 <= 1e-3
    assert any(spec.l1 == 0 for spec in specs)
    assert any(spec.l1 for spec in specs)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS.keys() - set(GRID_OR_LIST)))
def test_a_sampler_learns_if_results_change_what_it_samples(
    config: StudyConfig, tmp_path: Path, sampler: str
) -> None:
    study = config.study.model_copy(update={"sampler": sampler})
    sampled = []
    for sign in (1, -1):
        with open_search(replace(config, study=study), tmp_path / str(sign)) as search:
            specs = []
            for _ in range(RANDOM_TRIALS + 3):
                trial = search.ask()
                specs.append(trial.spec)
                value = 0.5 + 0.4 * sign * score(trial.spec)
                search.tell_result(trial.number, make_result(value))
        sampled.append(specs)
    assert (sampled[0] != sampled[1]) == SAMPLERS[sampler].learns


def test_the_cached_search_space_does_not_change_what_is_sampled(
    config: StudyConfig, tmp_path: Path
) -> None:
    results = []
    for uncached in (False, True):
        with open_search(config, tmp_path / str(uncached)) as search:
            specs, running = [], []
            for _ in range(40):
                if uncached:
                    search._space = IntersectionSearchSpace(include_pruned=True)
                running.append(search.ask())
                specs.append(running[-1].spec)
                if len(running) == 4:  # they end in another order than they started
                    ended = running.pop(len(specs) % 4)
                    # Trials with one layer are pruned: they count for the space too.
                    stopped: StopReason = "pruned" if len(ended.spec.hidden) == 1 else "finished"
                    if len(specs) % 7:
                        search.tell_result(ended.number, make_result(score(ended.spec), stopped))
                    else:
                        requeue(search, ended.number)
        results.append(specs)
    assert results[0] == results[1]


def test_a_grid_runs_every_point_once_despite_interruptions(tmp_path: Path) -> None:
    text = STUDY.partition("[space]")[0].replace("trials = 8\n", 'sampler = "grid"\n')
    space = "[space]\nhidden = [[8], [16, 8]]\nlearning_rate = [1e-3, 1e-2, 1e-1]\n"
    (tmp_path / "grid.toml").write_text(text + space)
    config = load(tmp_path / "grid.toml")
    assert config.study.trials == 6
    with open_search(config, tmp_path) as search:
        assert not search.learns
        assert search.in_flight_limit is None
        specs = [search.ask().spec, search.ask().spec]
        search.tell_result(0, make_result(0.5))
        successor = search.requeue(1, "its worker died", blamed=True)
        search.tell_interrupted(1, successor)
    with open_search(config, tmp_path) as search:  # as after an interruption
        retry = search.ask()
        assert retry.spec == specs[1]
        search.tell_result(retry.number, make_result(0.5))
        specs += run_trials(search, 4)
        assert search.counts.done == 6
    expected = [(hidden, rate) for hidden in ((8,), (16, 8)) for rate in (1e-3, 1e-2, 1e-1)]
    assert [(spec.hidden, spec.learning_rate) for spec in specs] == expected


@pytest.mark.parametrize("pruner", PRUNERS)
def test_every_pruner_but_none_stops_bad_trials(
    config: StudyConfig, tmp_path: Path, pruner: str
) -> None:
    study = config.study.model_copy(update={"pruner": pruner, "trials": 100})
    stopped = 0
    with open_search(replace(config, study=study), tmp_path) as search:
        for number in range(30):
            trial, value = search.ask(), 0.9 if number < 10 else 0.9 - 0.02 * number
            keeps = True
            for epoch in range(1, 11):
                keeps = keeps and search.report(trial.number, make_metrics(value, epoch))
            stopped += not keeps
            search.tell_result(trial.number, make_result(value, "finished" if keeps else "pruned"))
        assert search.counts.pruned == stopped
    assert (stopped == 0) == (pruner in ("none", "wilcoxon")), "wilcoxon needs folds"


@pytest.mark.parametrize(("epochs", "free"), [(2, 1), (12, 3)])
def test_the_median_pruner_stops_no_trial_in_its_first_quarter(
    config: StudyConfig, tmp_path: Path, epochs: int, free: int
) -> None:
    study = config.study.model_copy(update={"pruner": "median", "trials": 100})
    config = replace(config, study=study, train=config.train | {"epochs": epochs})
    with open_search(config, tmp_path) as search:
        for _ in range(6):
            trial = search.ask()
            for epoch in range(1, epochs + 1):
                assert search.report(trial.number, make_metrics(0.9, epoch))
            search.tell_result(trial.number, make_result(0.9))
        bad = search.ask()
        decisions = [search.report(bad.number, make_metrics(0.1, e)) for e in range(1, epochs + 1)]
        assert decisions == [True] * free + [False] * (epochs - free)


def test_the_registries_have_the_names_of_the_study_file() -> None:
    names = {
        key: get_args(StudyTable.model_fields[key].annotation) for key in ("sampler", "pruner")
    }
    assert names == {"sampler": tuple(SAMPLERS), "pruner": tuple(PRUNERS)}


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        ('batch_size = [1, 32]\nbatch_norm = ["none", "after"]', "BatchNorm needs at least 2"),
        ("batch_size = { low = 1, high = 32 }", "BatchNorm needs at least 2"),
        ('batch_norm = ["none", "before"]', "BatchNorm needs at least 2"),
        ("batch_size = [2, 32]", ""),
        ('batch_norm = ["none"]\nbatch_size = [1]', ""),
    ],
)
def test_a_space_with_settings_that_cannot_be_trained_is_refused(
    tmp_path: Path, space: str, problem: str
) -> None:
    train = "" if "batch_norm" in space else 'batch_norm = "after"\n'
    train += "" if "batch_size" in space else "batch_size = 1\n"
    more = "depth = [1, 2]\nwidth = { low = 8, high = 64 }\nl1 = { low = 0.0, high = 0.1 }\n"
    (tmp_path / "tiny.toml").write_text(
        f'[data]\nname = "digits"\n[train]\n{train}[space]\n{more}{space}\n'
    )
    try:
        check_space(load(tmp_path / "tiny.toml"))
        message = ""
    except ConfigError as error:
        message = str(error)
    assert problem in message
    assert bool(problem) == bool(message), message
