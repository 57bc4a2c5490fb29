"""Shows nothing: the Python interface's default."""

from __future__ import annotations

from harness.results import Outcome
from harness.sweep.driver import Progress
from harness.tracking.types import State
from harness.trial import Trial


class Silent:
    def message(self, text: str) -> None: ...

    def refresh(self, progress: Progress) -> None: ...

    def ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None: ...
