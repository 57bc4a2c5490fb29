"""The progress of a sweep in a terminal.

A thread draws it, so that it moves while the main thread imports libraries or waits.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, redirect_stderr
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from harness.progress.captured_stderr import CapturedStderr
from harness.progress.view import ProgressView
from harness.results import Outcome

if TYPE_CHECKING:
    from harness.sweep.progress import Progress
    from harness.tracking.types import State
    from harness.trial import Trial

DRAWS_A_SECOND = 6


class LiveDisplay:
    """Shows the current stage and its trials; leaving the context removes them from the screen."""

    def __init__(self, console: Console, stage: str = "") -> None:
        self._console = console
        self._view = ProgressView(console, stage)
        self._stderr = CapturedStderr(sys.stderr, self.message)
        self._context = ExitStack()
        self._live = Live(
            console=console,
            get_renderable=self.draw,
            refresh_per_second=DRAWS_A_SECOND,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        self._context.enter_context(redirect_stderr(self._stderr))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.close()
        self._live.stop()

    def stage(self, text: str) -> None:
        self._view.stage(text)
        self._live.refresh()

    def message(self, text: str) -> None:
        for line in text.split("\n"):
            is_command = line.startswith("  ")  # a wrapped command could not be copied
            self._console.print(Text(line), soft_wrap=is_command)

    def refresh(self, progress: Progress) -> None:
        self._view.refresh(progress)  # the thread draws it

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        self._view.trial_ended(progress, trial, state, outcome, reason)

    def draw(self) -> RenderableType:
        """Return what is on the screen now."""
        return self._view.draw(self._stderr.partial)
