"""Recovery: close what a dead driver or an error left running, and miss no run of a trial."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness.analysis.confirmation import describe_lost_runs
from harness.errors import HarnessError, Interruption, StoreError, StudyError, Unsent
from harness.search.study import Search
from harness.system.signals import StopFlag
from harness.tracking.base import Tracker
from harness.tracking.outbox import OutboxTracker
from harness.tracking.types import State, StudyRun

DRIVER_DIED = "the driver died"


def recover_trials(search: Search, tracker: OutboxTracker) -> None:
    """Close the trials that a dead driver left running.

    If the outbox holds a trial's end, Optuna is told that end: the driver died before it could.
    Other trials are closed as interrupted and queued again.
    """
    for number in list(search.stale):
        trial = search.get_trial(number)
        finish = tracker.find_finish(trial.uid)
        if finish is None:
            successor = search.requeue(number, DRIVER_DIED, blamed=False)
            tracker.finish_trial(trial, "INTERRUPTED", reason=DRIVER_DIED, successor=successor)
            search.tell_interrupted(number, successor)
        elif finish.state == "INTERRUPTED":
            search.tell_interrupted(number, finish.successor)
        else:
            search.tell_outcome(number, finish.outcome, finish.reason)


def read_own_study(tracker: Tracker, search: Search) -> StudyRun | None:
    """Read the study of an Optuna record by its uid; None if the store does not have it.

    Raises StudyError if trials that have a result have no run: without them, another trial could
    become the champion, and the test set would be opened for it.
    """
    name = search.config.study.name
    study = tracker.read_study(name, search.uid)
    if study is None:
        return None
    recorded = {run.uid for run in study.trials}
    lost = [n for n in search.list_results() if search.trial_uid(n) not in recorded]
    missing = [f"trial {number}" for number in lost]
    missing += [each for each in study.deleted if each not in missing]
    if missing:
        raise StudyError(describe_lost_runs(name, missing))
    return study


def require_own_study(tracker: Tracker, search: Search) -> StudyRun:
    """Read the study of an Optuna record by its uid. Raises StoreError."""
    study = read_own_study(tracker, search)
    if study is None:
        raise StoreError(f"study '{search.config.study.name}' not found in the tracking store")
    return study


@contextmanager
def close_on_error(tracker: OutboxTracker, uid: str, stop: StopFlag) -> Iterator[None]:
    """Close the study's run as INTERRUPTED or FAILED if the body raises."""
    state: State
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, Interruption | KeyboardInterrupt | Unsent)
        state = "INTERRUPTED" if stopped else "FAILED"
        with suppress(HarnessError), stop.shield():  # report the first error
            tracker.close_study(uid, state, reason=str(error) or type(error).__name__)
        raise
