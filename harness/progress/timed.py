"""A display that measures the stages of another one, for HARNESS_TIMINGS=1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.system import timings

if TYPE_CHECKING:
    from harness.results import Outcome
    from harness.sweep.progress import Progress, ProgressDisplay
    from harness.tracking.types import State
    from harness.trial import Trial


class TimedDisplay:
    """Passes everything on to `display`."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display

    def stage(self, text: str) -> None:
        timings.begin(text)
        self._display.stage(text)

    def message(self, text: str) -> None:
        self._display.message(text)

    def refresh(self, progress: Progress) -> None:
        if progress.epochs:
            timings.mark("the first trained epoch")
        self._display.refresh(progress)

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        timings.mark("the first trial's end")
        self._display.trial_ended(progress, trial, state, outcome, reason)
