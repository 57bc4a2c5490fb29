"""Messages and errors of a study that is an object, without the paths of the files it writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.study import Study
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.results import Outcome
    from harness.sweep.progress import Progress, ProgressDisplay
    from harness.tracking.types import State
    from harness.trial import Trial


class _ShortMessages:
    """A display whose messages call the data of memory `the frame` or `the arrays`."""

    def __init__(self, display: ProgressDisplay, study: Study, home: str | Path) -> None:
        self._display, self._study, self._home = display, study, home

    def stage(self, text: str) -> None:
        self._display.stage(text)

    def message(self, text: str) -> None:
        self._display.message(self._study.hide_files(text, self._home))

    def refresh(self, progress: Progress) -> None:
        self._display.refresh(progress)

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        self._display.trial_ended(progress, trial, state, outcome, reason)


@contextmanager
def hide_files(
    study: Study | str | Path, home: str | Path, display: ProgressDisplay
) -> Iterator[ProgressDisplay]:
    """Give the display to use, and shorten the UserErrors of the body. See `Study.hide_files`."""
    if not isinstance(study, Study):
        yield display
        return
    try:
        yield _ShortMessages(display, study, home)
    except UserError as error:
        error.args = (study.hide_files(str(error), home),)
        raise
