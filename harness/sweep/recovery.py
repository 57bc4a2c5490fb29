"""What a driver that died left running, closed by the next one."""

from __future__ import annotations

from harness.search.study import Search
from harness.tracking.outbox import OutboxTracker

DIED = "the driver died"


def recover(search: Search, tracker: OutboxTracker) -> None:
    """Close what a dead driver left running: as its record says, else interrupted, to be run again.

    What stands in its spool has happened, though it did not live to tell the study.
    """
    for number in list(search.stale):
        trial = search.trial(number)
        done = tracker.finished(trial.uid)
        if done is not None and done.state == "INTERRUPTED":
            search.tell_interrupted(number, done.successor)
            continue
        if done is not None:
            search.adopt(number, done.outcome, done.reason)
            continue
        successor = search.requeue(number, DIED, blamed=False)
        tracker.finish(trial, "INTERRUPTED", reason=DIED, successor=successor)
        search.tell_interrupted(number, successor)
