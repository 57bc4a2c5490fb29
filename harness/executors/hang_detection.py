"""Tells a hung worker from a slow one: arithmetic alone, on the seconds that it is given.

Trials of one study differ in size by a hundred times, so what was seen of one is scaled to
another by the work that an epoch of each is (see harness/engine/cost_model.py).
"""

from __future__ import annotations

HUNG_AFTER = 60.0
"""Seconds that a worker may always be silent, where the study does not say."""
TIMES = 10
"""A worker may be silent so many times as long as the slowest epoch took."""
SLICE = 0.5
"""Seconds. The driver looks up so often, and counts no more for one look: time in which it was
stopped itself, or busy elsewhere, says nothing about its workers."""


class HangDetector:
    """The silence of each worker, and what all of them have shown of their pace."""

    def __init__(self, floor: float = HUNG_AFTER) -> None:
        """No limit is under `floor` seconds."""
        self._floor = floor
        self._silence: dict[str, float] = {}
        self._seen = False
        self._slowest = 0.0
        """Seconds before an epoch's event, the most so far."""
        self._rate = 0.0
        """Seconds for each unit of work, the most so far."""

    def waited(self, worker: str, seconds: float) -> None:
        """The driver listened so long for a worker whose turn it was to speak."""
        self._silence[worker] = self._silence.get(worker, 0.0) + min(seconds, SLICE)

    def heard(self, worker: str, work: float = 0.0) -> None:
        """A worker spoke, or is another one now; `work` is that of the epoch it reported."""
        silence = self._silence.pop(worker, 0.0)
        if work:
            self._seen = True
            self._slowest = max(self._slowest, silence)
            self._rate = max(self._rate, silence / work)

    def silence(self, worker: str) -> float:
        """Seconds."""
        return self._silence.get(worker, 0.0)

    def limit(self, work: float) -> float:
        """Seconds that a worker may be silent which has so much work before its next event."""
        if not self._seen:
            return self.start_limit
        return max(self._floor, TIMES * self._slowest, TIMES * self._rate * work)

    @property
    def start_limit(self) -> float:
        """Seconds until a worker is ready, and those of any epoch before the first was seen."""
        return TIMES * self._floor
