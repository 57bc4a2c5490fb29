"""One study at a time uses a process and leaves it as it was; see test_shared_process.py too."""

from __future__ import annotations

import multiprocessing
import os
import threading

import pytest

from harness.errors import ConfigError
from harness.executors.fork_server import check_workers_allowed
from harness.sweep import process_state
from harness.sweep.process_state import use_process
from harness.tracking.mlflow.environment import REDIRECTIONS, configure_mlflow


def try_to_use() -> str:
    try:
        with use_process():
            return ""
    except ConfigError as error:
        return str(error)


def test_a_second_study_is_refused_until_the_first_has_ended() -> None:
    messages: list[str] = []
    with use_process():
        messages.append(try_to_use())
        thread = threading.Thread(target=lambda: messages.append(try_to_use()))
        thread.start()
        thread.join()
    assert [each.partition(";")[0] for each in messages] == [
        "another study is running in this process"
    ] * 2
    assert try_to_use() == ""


def test_a_process_forked_after_a_study_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_state, "_PROCESSES", {os.getpid() + 1})
    assert try_to_use().startswith("this process was forked from one that has run a study")


def test_a_daemonic_process_starts_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    check_workers_allowed()
    process = multiprocessing.current_process()
    monkeypatch.setitem(vars(process)["_config"], "daemon", True)
    with pytest.raises(ConfigError, match=r"Pool, cannot start worker processes; use --workers 0"):
        check_workers_allowed()


def test_mlflows_variables_are_unset_for_a_study_and_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_ACTIVE_MODEL_ID", "m-0123456789abcdef")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123456789abcdef")
    before = dict(os.environ)
    with use_process():
        configure_mlflow()
        assert not os.environ.keys() & set(REDIRECTIONS)
    assert dict(os.environ) == before
