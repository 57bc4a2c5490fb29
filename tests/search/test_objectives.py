"""[study] objectives: a search by several objectives, and what they exclude."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.config.loader import load_text
from harness.config.schema import StudyConfig
from harness.errors import ConfigError, StudyError
from harness.results import Cost
from harness.search.open_study import open_search
from harness.search.study import Search
from harness.sweep.setting_costs import count_parameters
from harness.trial import TrialSpec
from tests.search.tiny_study import STUDY, make_metrics, make_result, score

OBJECTIVES = 'objectives = ["val/accuracy", "parameters", "val/loss"]'


def measure(spec: TrialSpec, name: Cost) -> float:
    return count_parameters(spec, 64, 10)


def make(study: str = OBJECTIVES, more: str = "") -> StudyConfig:
    text = STUDY.replace("[study]", f"[study]\n{study}").replace('pruner = "none"\n', "")
    return load_text(text + more, "s.toml")


def run(config: StudyConfig, folder: Path, trials: int) -> tuple[list[TrialSpec], Search]:
    specs = []
    with open_search(config, folder, measure=measure) as search:
        for _ in range(trials):
            trial = search.ask()
            value = score(trial.spec)
            assert search.report(trial.number, make_metrics(value))
            best = replace(make_metrics(value), val_loss=trial.spec.learning_rate)
            search.tell_result(trial.number, replace(make_result(value), best=best))
            specs.append(trial.spec)
        return specs, search


@pytest.mark.parametrize(
    "sampler", ["tpe", pytest.param("gp", marks=pytest.mark.slow), "random", "qmc"]
)
def test_optuna_gets_every_objective_and_a_continued_search_is_the_same(
    sampler: str, tmp_path: Path
) -> None:
    config = make(f'sampler = "{sampler}"\nname = "a"\n{OBJECTIVES}')
    assert config.study.pruner == "none"
    specs, search = run(config, tmp_path / "whole", 13)
    trials = search._study.get_trials()
    assert [trial.values for trial in trials] == [
        [score(spec), measure(spec, "parameters"), spec.learning_rate] for spec in specs
    ]
    assert [trial.intermediate_values for trial in trials] == [{1: score(spec)} for spec in specs]
    directions = [direction.name for direction in search._study.directions]
    assert directions == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    best = max(range(13), key=lambda number: score(specs[number]))
    assert search.ranking[0] == (-score(specs[best]), best)
    first, _ = run(config, tmp_path / "parts", 11)
    second, continued = run(config, tmp_path / "parts", 2)
    assert [*first, *second] == specs
    assert continued.ranking == search.ranking
    with pytest.raises(StudyError, match=r"objectives: .* -> "):
        run(make('name = "a"\nobjectives = ["val/accuracy", "val/loss"]'), tmp_path / "whole", 0)


def test_a_study_can_start_with_the_best_of_a_study_with_objectives(tmp_path: Path) -> None:
    specs, _ = run(make(f'name = "a"\n{OBJECTIVES}'), tmp_path, 5)
    warm, _ = run(make('name = "b"\nwarm_start = "a"'), tmp_path, 1)
    best = max(specs, key=score)
    assert warm == [best]


@pytest.mark.parametrize(
    ("study", "problem"),
    [
        ('objectives = ["val/accuracy"]', "objectives: must be two or three different ones"),
        ('objectives = ["val/loss", "val/loss"]', "objectives: must be two or three different"),
        ('objectives = ["parameters", "val/loss"]', "parameters cannot be the first; begin with"),
        ('objectives = ["val/accuracy", "val/rmse"]', "val/rmse cannot be one of several here"),
        (f'objective = "val/loss"\n{OBJECTIVES}', "objective: val/loss, but the first of obj"),
        (f'pruner = "median"\n{OBJECTIVES}', "pruner: median compares trials by one objective"),
        (f'stop_when = "settled"\n{OBJECTIVES}', "stop_when: judges one objective; leave it out"),
        ('objectives = ["val/accuracy", "speed"]', "objectives.1: input should be .* not 'speed'"),
    ],
)
def test_contradictions_are_one_plain_error(study: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make(study)


def test_losses_that_cannot_be_compared_are_no_objective() -> None:
    more = '\nloss = ["cross-entropy", "mse"]\n'
    with pytest.raises(ConfigError, match="val/loss is not comparable between different losses"):
        make(OBJECTIVES, more)
