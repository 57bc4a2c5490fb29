"""The one retry policy: growing pauses between attempts, up to a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying

RETRY_FIRST_SECONDS = 0.5
"""The pause after the first failed attempt; each further pause is twice as long."""


def make_retries(
    error: type[Exception],
    max_pause: float,
    timeout: float | Callable[[], float],
    sleep: Callable[[float], None] = time.sleep,
) -> Retrying:
    """Retry a function, or a block of code, while it raises `error`. Other errors pass.

        make_retries(Unavailable, max_pause=15.0, timeout=300.0)(send)

        for attempt in make_retries(Unavailable, max_pause=15.0, timeout=300.0):
            with attempt:
                return send()

    Once an attempt fails more than `timeout` seconds after the first one started, its error is
    raised.

    Args:
        max_pause: the longest pause, in seconds.
        timeout: seconds; a function is called after each failed attempt.
        sleep: how to pause.
    """
    import tenacity  # 0.1 s to import

    def is_over(state: RetryCallState) -> bool:
        limit = timeout() if callable(timeout) else timeout
        return (state.seconds_since_start or 0.0) > limit

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(error),
        wait=tenacity.wait_exponential(multiplier=RETRY_FIRST_SECONDS, max=max_pause),
        stop=is_over,
        sleep=sleep,
        reraise=True,
    )
