"""When a worker counts as hung, with silences made up by hand."""

from __future__ import annotations

import pytest

from harness.executors.hang_detection import POLL_SECONDS, HangDetector


def let_pass(detector: HangDetector, worker: str, seconds: float) -> float:
    """Let time pass, as a driver that only waits would see it."""
    for _ in range(round(seconds / POLL_SECONDS)):
        detector.add_silence(worker, POLL_SECONDS)
    return detector.get_silence(worker)


def test_before_the_first_epoch_the_limit_is_ten_times_as_long() -> None:
    detector = HangDetector(60)
    detector.record_message("ready")  # that says nothing about epochs
    assert detector.get_limit(1.0) == detector.start_limit == 600


def test_no_limit_is_below_the_minimum() -> None:
    detector = HangDetector(60)
    let_pass(detector, "one", 2)
    detector.record_message("one", work=5.0)
    assert detector.get_limit(5.0) == 60


def test_the_limit_is_ten_times_the_slowest_epoch_of_any_worker_and_size() -> None:
    detector = HangDetector(60)
    let_pass(detector, "one", 12)
    detector.record_message("one", work=5.0)
    let_pass(detector, "two", 1)
    detector.record_message("two", work=1.0)
    assert detector.get_limit(1.0) == 120, "the slowest, though this trial is small"
    assert detector.get_limit(50.0) == 10 * 12 / 5 * 50, "scaled by its work"


def test_a_message_ends_the_silence_of_its_worker_only() -> None:
    detector = HangDetector(60)
    assert let_pass(detector, "one", 10) == pytest.approx(10)
    assert detector.get_silence("two") == 0
    detector.record_message("one")
    assert detector.get_silence("one") == 0


def test_an_hour_in_which_the_driver_was_stopped_counts_as_one_poll() -> None:
    detector = HangDetector(60)
    detector.add_silence("one", 3600)
    assert detector.get_silence("one") == POLL_SECONDS
    detector.record_message("one", work=1.0)
    assert detector.get_limit(1.0) == 60, "the slowest epoch is not an hour either"
