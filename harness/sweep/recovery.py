"""Recovery: close the trials that a dead driver left running."""

from __future__ import annotations

from harness.search.study import Search
from harness.tracking.outbox import OutboxTracker

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
