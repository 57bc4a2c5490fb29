"""Retried storage calls: nothing is done twice, and the wait has an end."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError

from harness.errors import StoreError
from harness.search.storage.retrying import RetryingStorage


class LosesAnswers:
    """A storage that executes every call, but whose first answer of each method is lost."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._lost = inner, set[str]()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if name not in self._lost:
                self._lost.add(name)
                raise StorageInternalError("the answer was lost")
            return result

        return call


def test_a_lost_answer_creates_nothing_twice() -> None:
    inner = optuna.storages.InMemoryStorage()
    storage = RetryingStorage(LosesAnswers(inner), "here", lambda: None)  # type: ignore[arg-type]
    optuna.create_study(storage=inner, study_name="tiny")
    study = optuna.load_study(study_name="tiny", storage=storage)
    first, second = study.ask(), study.ask()
    second.set_user_attr("ordinal", 1)
    study.enqueue_trial({"x": 1.0})
    study.tell(first, 1.0)
    study.tell(second, 2.0)
    assert [trial.state.name for trial in inner.get_all_trials(0)] == [
        "COMPLETE",
        "COMPLETE",
        "WAITING",
    ]


def test_a_server_that_stays_away_is_an_error() -> None:
    def renew_lock() -> None:
        raise StorageInternalError("away")

    inner: Any = LosesAnswers(optuna.storages.InMemoryStorage())
    storage = RetryingStorage(inner, "there", renew_lock, timeout=1)
    with pytest.raises(StoreError, match=r"there does not answer \(away\); rerun"):
        storage.get_all_studies()


def test_a_lost_lock_is_not_retried() -> None:
    def renew_lock() -> None:
        raise StoreError("another driver has the study")

    inner: Any = LosesAnswers(optuna.storages.InMemoryStorage())
    with pytest.raises(StoreError, match="another driver"):
        RetryingStorage(inner, "there", renew_lock).get_all_studies()
