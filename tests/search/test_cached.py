"""A storage that is read once answers as the one that it is a mirror of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState, create_trial

from harness.errors import StudyError
from harness.search.storage.cached import mirrored


class Counting:
    """A storage that counts what it is asked."""

    def __init__(self, inner: BaseStorage) -> None:
        self._inner, self.asked = inner, Counter[str]()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self.asked[name] += 1
        found: Callable[..., Any] = getattr(self._inner, name)
        return found


@pytest.fixture
def inner(tmp_path: Path) -> RDBStorage:
    return RDBStorage(f"sqlite:///{tmp_path}/optuna.db")


def draw(trial: optuna.Trial) -> float:
    depth = trial.suggest_int("depth", 1, 3)
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    kind = trial.suggest_categorical("kind", ["sgd", "adam", None])
    trial.set_user_attr("given", {"a": (1, 2)})
    return depth + rate + (kind == "sgd")


def test_it_says_what_the_storage_says_after_every_write(inner: RDBStorage) -> None:
    storage = mirrored(inner)
    pruner, sampler = optuna.pruners.MedianPruner(2, 1), optuna.samplers.TPESampler(seed=1)
    study = optuna.create_study(
        study_name="one", storage=storage, sampler=sampler, pruner=pruner, direction="maximize"
    )
    study.enqueue_trial({"depth": 2}, user_attrs={"again": True})
    for number in range(14):
        trial = study.ask()
        value = draw(trial)
        for epoch in range(3):
            trial.report(value * epoch, epoch)
        pruned = trial.should_prune() and number != 3
        if number == 5:
            continue  # its driver died
        study.tell(trial, None if pruned else value, TrialState.PRUNED if pruned else None)
        expected = inner.get_all_trials(study._study_id)
        assert storage.get_all_trials(study._study_id) == expected
        assert storage.get_trial(expected[-1]._trial_id) == expected[-1]
        running = storage.get_all_trials(study._study_id, states=(TrialState.RUNNING,))
        assert [each.number for each in running] == [5] * (number > 5)
    storage.set_trial_system_attr(running[0]._trial_id, "why", [1, {"b": 2}])
    again = optuna.load_study(study_name="one", storage=mirrored(inner))
    assert again.get_trials() == study.get_trials() == inner.get_all_trials(study._study_id)
    assert again.best_value == study.best_value


def test_trials_are_read_once(inner: RDBStorage) -> None:
    counted = Counting(inner)
    storage = mirrored(counted)  # type: ignore[arg-type]
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.TPESampler(seed=1))
    for _ in range(12):
        trial = study.ask()
        study.tell(trial, draw(trial))
    assert counted.asked["get_all_trials"] == 1
    assert counted.asked["get_study_directions"] == 1
    assert counted.asked["get_trial"] == 24, "at its beginning and its end"


def test_what_was_given_away_stays_as_it_was(inner: RDBStorage) -> None:
    study = optuna.create_study(storage=mirrored(inner))
    trial = study.ask()
    before = study.get_trials(deepcopy=False)
    draw(trial)
    trial.report(0.5, 1)
    study.tell(trial, 1.0)
    assert (before[0].state, before[0].params) == (TrialState.RUNNING, {})
    assert (before[0].user_attrs, before[0].intermediate_values) == ({}, {})


def test_another_writer_is_noticed(inner: RDBStorage) -> None:
    study = optuna.create_study(study_name="one", storage=mirrored(inner))
    study.tell(study.ask(), 1.0)
    optuna.load_study(study_name="one", storage=inner).add_trial(create_trial(value=2.0))
    with pytest.raises(StudyError, match="trial 2 was drawn where 1 was due: another process"):
        study.ask()
