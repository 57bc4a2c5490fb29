"""A cached storage answers as the storage behind it does, and reads it once."""

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
from harness.search.storage.cached import CachedStorage


class CountsCalls:
    """A storage that counts the calls of each method."""

    def __init__(self, inner: BaseStorage) -> None:
        self._inner, self.calls = inner, Counter[str]()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self.calls[name] += 1
        method: Callable[..., Any] = getattr(self._inner, name)
        return method


@pytest.fixture
def inner(tmp_path: Path) -> RDBStorage:
    return RDBStorage(f"sqlite:///{tmp_path}/optuna.db")


def sample(trial: optuna.Trial) -> float:
    depth = trial.suggest_int("depth", 1, 3)
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    kind = trial.suggest_categorical("kind", ["sgd", "adam", None])
    trial.set_user_attr("tuple", {"a": (1, 2)})
    return depth + rate + (kind == "sgd")


def test_it_answers_as_the_storage_does_after_every_write(inner: RDBStorage) -> None:
    storage = CachedStorage(inner)
    pruner, sampler = optuna.pruners.MedianPruner(2, 1), optuna.samplers.TPESampler(seed=1)
    study = optuna.create_study(
        study_name="one", storage=storage, sampler=sampler, pruner=pruner, direction="maximize"
    )
    study.enqueue_trial({"depth": 2}, user_attrs={"retry": True})
    for number in range(14):
        trial = study.ask()
        value = sample(trial)
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
        assert [trial.number for trial in running] == [5] * (number > 5)
    storage.set_trial_system_attr(running[0]._trial_id, "why", [1, {"b": 2}])
    reopened = optuna.load_study(study_name="one", storage=CachedStorage(inner))
    assert reopened.get_trials() == study.get_trials() == inner.get_all_trials(study._study_id)
    assert reopened.best_value == study.best_value


def test_trials_are_read_once(inner: RDBStorage) -> None:
    counted = CountsCalls(inner)
    storage = CachedStorage(counted)  # type: ignore[arg-type]
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.TPESampler(seed=1))
    for _ in range(12):
        trial = study.ask()
        study.tell(trial, sample(trial))
    assert counted.calls["get_all_trials"] == 1
    assert counted.calls["get_study_directions"] == 1
    assert counted.calls["get_trial"] == 24, "when it starts and when it ends"


def test_trials_that_were_returned_do_not_change(inner: RDBStorage) -> None:
    study = optuna.create_study(storage=CachedStorage(inner))
    trial = study.ask()
    before = study.get_trials(deepcopy=False)
    sample(trial)
    trial.report(0.5, 1)
    study.tell(trial, 1.0)
    assert (before[0].state, before[0].params) == (TrialState.RUNNING, {})
    assert (before[0].user_attrs, before[0].intermediate_values) == ({}, {})


def test_another_writer_is_an_error(inner: RDBStorage) -> None:
    study = optuna.create_study(study_name="one", storage=CachedStorage(inner))
    study.tell(study.ask(), 1.0)
    optuna.load_study(study_name="one", storage=inner).add_trial(create_trial(value=2.0))
    with pytest.raises(StudyError, match="the new trial has the number 2 instead of 1: another"):
        study.ask()
