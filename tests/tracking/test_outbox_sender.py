"""The outbox's thread lets a busy driver go first, but not for ever."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.outbox import OutboxTracker, sender
from tests.tracking.test_contract import RECORD, trial


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes do not wait for more of them, which takes longer than any wait for the driver."""
    monkeypatch.setattr(sender, "DELAY", 0.0)


class TimedTracker(InMemoryTracker):
    """Notes when each trial was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[int, float] = {}

    def start_trial(self, trial: Any, at: float | None = None) -> None:
        self.sent[trial.number] = time.monotonic()
        super().start_trial(trial, at=at)


def wait_until_sent(store: TimedTracker, number: int) -> float:
    deadline = time.monotonic() + 20
    while number not in store.sent and time.monotonic() < deadline:
        time.sleep(0.005)
    return store.sent[number]


def test_a_write_is_sent_when_the_driver_has_been_quiet(tmp_path: Path) -> None:
    store = TimedTracker()
    with OutboxTracker(tmp_path, "study", lambda: store) as tracker:
        tracker.open_study(RECORD)
        for number in range(5):
            written = time.monotonic()
            tracker.start_trial(trial(number))
            assert wait_until_sent(store, number) - written >= sender.QUIET_SECONDS
        tracker.ended_cleanly = True


def test_a_driver_that_never_pauses_does_not_stop_the_sending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "QUIET_SECONDS", 60.0)  # longer than any pause of this test
    store, deadline, number = TimedTracker(), time.monotonic() + 10, 0
    with OutboxTracker(tmp_path, "study", lambda: store) as tracker:
        tracker.open_study(RECORD)
        while not store.sent and time.monotonic() < deadline:
            tracker.start_trial(trial(number))
            number += 1
            time.sleep(0.002)
        assert store.sent
        assert time.monotonic() < deadline
        tracker.ended_cleanly = True
