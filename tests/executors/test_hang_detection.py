"""When a worker counts as hung, on seconds given by hand."""

from __future__ import annotations

import pytest

from harness.executors.hang_detection import SLICE, HangDetector


def silent(watchdog: HangDetector, worker: str, seconds: float) -> float:
    """Let so much time pass as a driver that only listens would see it."""
    for _ in range(round(seconds / SLICE)):
        watchdog.waited(worker, SLICE)
    return watchdog.silence(worker)


def test_before_any_epoch_a_worker_has_ten_times_as_long() -> None:
    watchdog = HangDetector(60)
    watchdog.heard("ready")  # its getting ready says nothing of an epoch
    assert watchdog.limit(1.0) == watchdog.start_limit == 600


def test_no_limit_is_under_the_floor() -> None:
    watchdog = HangDetector(60)
    silent(watchdog, "one", 2)
    watchdog.heard("one", work=5.0)
    assert watchdog.limit(5.0) == 60


def test_ten_times_the_slowest_epoch_of_any_worker_and_size() -> None:
    watchdog = HangDetector(60)
    silent(watchdog, "one", 12)
    watchdog.heard("one", work=5.0)
    silent(watchdog, "two", 1)
    watchdog.heard("two", work=1.0)
    assert watchdog.limit(1.0) == 120, "the slowest, though this trial is small"
    assert watchdog.limit(50.0) == 10 * 12 / 5 * 50, "at the slowest pace, ten times the work"


def test_silence_ends_with_a_word_and_is_each_workers_own() -> None:
    watchdog = HangDetector(60)
    assert silent(watchdog, "one", 10) == pytest.approx(10)
    assert watchdog.silence("two") == 0
    watchdog.heard("one")
    assert watchdog.silence("one") == 0


def test_an_hour_in_which_the_driver_was_stopped_counts_as_one_look() -> None:
    watchdog = HangDetector(60)
    watchdog.waited("one", 3600)
    assert watchdog.silence("one") == SLICE
    watchdog.heard("one", work=1.0)
    assert watchdog.limit(1.0) == 60, "nor was that the slowest epoch"
