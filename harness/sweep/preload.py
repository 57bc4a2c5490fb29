"""Import what the end of a study needs while its last trials are trained.

The end exports the champion with torch.export, whose imports take as long as those of torch.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from harness.system import timings

if TYPE_CHECKING:
    from harness.results import Outcome
    from harness.sweep.progress import Progress, ProgressDisplay
    from harness.tracking.outbox import OutboxTracker
    from harness.tracking.types import State
    from harness.trial import Trial

MODULES = (
    "harness.sweep.confirm",
    "harness.sweep.finalize",
    "harness.sweep.ensemble",
    "torch.export._trace",
)
POLL_SECONDS = 0.05


class PreloadingDisplay:
    """Passes everything on to `display`; imports MODULES once no more trials will be asked for.

    Call `finish` before this thread imports any of them: two threads that import modules which
    import each other can get half of a module.
    """

    def __init__(self, display: ProgressDisplay, tracker: OutboxTracker) -> None:
        self._display, self._tracker = display, tracker
        self._thread: threading.Thread | None = None
        self._is_needed = True

    def stage(self, text: str) -> None:
        self._display.stage(text)

    def message(self, text: str) -> None:
        self._display.message(text)

    def refresh(self, progress: Progress) -> None:
        is_last = progress.counts.done + len(progress.running) >= progress.target
        if is_last and progress.running and self._thread is None:
            self._thread = threading.Thread(target=self._import, name="preload", daemon=True)
            self._thread.start()
        self._display.refresh(progress)

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        self._display.trial_ended(progress, trial, state, outcome, reason)

    def finish(self, wait: bool = True) -> None:
        """Wait for the module that is being imported; the others are imported where needed."""
        self._is_needed = False
        if wait and self._thread is not None:
            self._thread.join()

    def _import(self) -> None:
        while self._tracker.is_loading:  # it imports mlflow, of which these modules use parts
            if not self._is_needed:
                return
            threading.Event().wait(POLL_SECONDS)
        with timings.measure("importing for the export"), suppress(Exception):
            for name in MODULES:  # an error shows again where the module is needed
                if self._is_needed:
                    import_module(name)
