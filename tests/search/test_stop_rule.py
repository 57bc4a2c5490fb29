"""[study] stop_when: when a search ends before its last trial."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from optuna.trial import create_trial

from harness.config.loader import load_text
from harness.config.schema import StudyConfig
from harness.errors import ConfigError
from harness.search.open_study import open_search
from harness.search.stop_rule import find_stop_reason
from harness.search.study import Search
from tests.search.test_first_settings import SPACE
from tests.search.tiny_study import make_result


def make(study: str, trials: int = 12, space: str = SPACE) -> StudyConfig:
    count = f"trials = {trials}" if trials else ""
    return load_text(f'[study]\nname = "a"\n{count}\n{study}\n{space}', "s.toml")


def run(config: StudyConfig, folder: Path, values: list[float]) -> Search:
    """Run trials with these accuracies of 1,000 examples, until the search has enough."""
    with open_search(config, folder) as search:
        left = iter(values)
        while search.counts.done < search.target:
            value = next(left, None)
            if value is None:
                break
            correct = round(1000 * value)
            half = correct // 2, correct - correct // 2
            confusion = ((half[0], 500 - half[0]), (500 - half[1], half[1]))
            trial = search.ask()
            result = replace(make_result(value), confusion=confusion)
            search.tell_result(trial.number, result)
        return search


def test_a_search_is_settled_once_half_of_its_trials_would_have_been_enough(
    tmp_path: Path,
) -> None:
    """The standard error of 0.9 on 1,000 examples is 0.0095."""
    config = make('stop_when = "settled"', 40)
    equal = [0.9 + 0.001 * (number % 2) for number in range(40)]
    assert run(config, tmp_path / "equal", equal).counts.done == 20
    rising = [0.5 + 0.01 * number for number in range(40)]
    assert run(config, tmp_path / "rising", rising).counts.done == 40


def test_an_objective_of_0_is_a_result() -> None:
    now = datetime.now()
    trials = [create_trial(value=0.0) for _ in range(20)]
    for trial in trials:
        trial.datetime_complete = now
    assert find_stop_reason("settled", trials, "val/mae").startswith("half as many trials")


def test_a_search_ends_after_so_many_trials_without_a_better_one(tmp_path: Path) -> None:
    config = make('stop_when = "5 trials"', 40)
    search = run(config, tmp_path, [0.5, 0.6, 0.7, *[0.7] * 30])
    assert search.counts.done == 8
    assert search.stop is not None
    assert search.stop.reason == "no better trial in the last 5"


def test_a_stopped_search_stays_stopped_until_the_rule_changes(tmp_path: Path) -> None:
    text = 'stop_when = "{}"'
    run(make(text.format("2 trials")), tmp_path, [0.7, *[0.6] * 20])
    assert run(make(text.format("2 trials")), tmp_path, [0.9] * 20).counts.done == 3
    assert run(make(text.format("never")), tmp_path, [0.6] * 20).counts.done == 12


def test_a_search_with_trials_from_before_the_rule_is_settled_too(tmp_path: Path) -> None:
    run(make("", 10), tmp_path, [0.901] * 10)
    config = make('stop_when = "settled"', 40)
    assert run(config, tmp_path, [0.9] * 30).counts.done == 20


def test_trials_that_run_when_the_rule_applies_still_count(tmp_path: Path) -> None:
    config = make('stop_when = "2 trials"')
    with open_search(config, tmp_path) as search:
        running = [search.ask() for _ in range(5)]
        for trial, value in zip(running, [0.7, 0.6, 0.6, 0.8, 0.6], strict=True):
            search.tell_result(trial.number, make_result(value))
        assert search.limit == search.target == search.counts.done == 5


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("soon", "stop_when: 'soon' is no stop rule; write never, settled, or a number such as 30"),
        ("0 trials", "stop_when: '0 trials' is no stop rule"),
    ],
)
def test_an_unknown_rule_is_one_line(rule: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(f'stop_when = "{rule}"')


def test_a_grid_runs_all_its_trials() -> None:
    space = '\n[data]\nname = "digits"\n[space]\nl2 = [0.0, 0.1]\n'
    with pytest.raises(ConfigError, match="stop_when: a grid runs all its trials"):
        make('sampler = "grid"\nstop_when = "settled"', 0, space)
