"""Retries: their pauses, their end, and which errors they retry."""

from __future__ import annotations

import pytest

from harness.system.retries import make_retries


class Fails:
    """Fails a number of times, then returns the number of attempts."""

    def __init__(self, failures: int) -> None:
        self.failures, self.attempts = failures, 0

    def __call__(self) -> int:
        self.attempts += 1
        if self.attempts <= self.failures:
            raise ConnectionError(f"attempt {self.attempts}")
        return self.attempts


def test_pauses_double_up_to_the_maximum() -> None:
    call, pauses = Fails(6), list[float]()
    for attempt in make_retries(ConnectionError, 5.0, timeout=60.0, sleep=pauses.append):
        with attempt:
            attempts = call()
    assert attempts == 7
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_the_last_error_is_raised_after_the_timeout() -> None:
    with pytest.raises(ConnectionError, match="attempt 1"):
        make_retries(ConnectionError, 5.0, timeout=lambda: 0.0)(Fails(1))


def test_other_errors_are_not_retried() -> None:
    with pytest.raises(ConnectionError, match="attempt 1"):
        make_retries(TimeoutError, 5.0, timeout=60.0)(Fails(1))
