"""Shows nothing: the Python interface's default."""

from __future__ import annotations

from harness.driver import Progress
from harness.tracking.records import State
from harness.trial import Outcome, Trial


class Quiet:
    def message(self, text: str) -> None: ...

    def refresh(self, progress: Progress) -> None: ...

    def ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None: ...
