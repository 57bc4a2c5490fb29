"""Tell a hung worker from a slow one, from how long each worker has sent no message.

The trials of a study differ in size by a factor of up to a hundred. What one trial's epoch took is
scaled to another's by their work (see harness/engine/cost_model.py).
"""

from __future__ import annotations

HUNG_AFTER = 60.0
"""The least limit in seconds, if the study file does not set one."""
LIMIT_FACTOR = 10
"""A worker may be silent for this many times the slowest epoch."""
POLL_SECONDS = 0.5
"""How often the driver looks, in seconds. One look counts for no more: during a longer gap the
driver itself was stopped or busy, which says nothing about its workers."""


class HangDetector:
    """Measures the silence of each worker, and learns how long epochs take."""

    def __init__(self, min_limit: float = HUNG_AFTER) -> None:
        """`min_limit`: no limit is shorter, in seconds."""
        self._min_limit = min_limit
        self._silence: dict[str, float] = {}
        """By worker: seconds since its last message."""
        self._has_epoch = False
        self._slowest = 0.0
        """The longest silence before an epoch's event, in seconds."""
        self._slowest_rate = 0.0
        """The most seconds per unit of work."""

    def add_silence(self, worker: str, seconds: float) -> None:
        """Count time in which the driver waited for the worker's message."""
        self._silence[worker] = self._silence.get(worker, 0.0) + min(seconds, POLL_SECONDS)

    def record_message(self, worker: str, work: float = 0.0) -> None:
        """Reset a worker's silence, after a message or a restart.

        `work` is the work of the epoch that the message reports.
        """
        silence = self._silence.pop(worker, 0.0)
        if work:
            self._has_epoch = True
            self._slowest = max(self._slowest, silence)
            self._slowest_rate = max(self._slowest_rate, silence / work)

    def get_silence(self, worker: str) -> float:
        """Seconds since the worker's last message."""
        return self._silence.get(worker, 0.0)

    def get_limit(self, work: float) -> float:
        """Seconds of silence after which a worker with this work before its next event hangs."""
        if not self._has_epoch:
            return self.start_limit
        slowest = LIMIT_FACTOR * self._slowest
        return max(self._min_limit, slowest, LIMIT_FACTOR * self._slowest_rate * work)

    @property
    def start_limit(self) -> float:
        """Seconds for a worker to get ready, and for epochs before the first one was measured."""
        return LIMIT_FACTOR * self._min_limit
