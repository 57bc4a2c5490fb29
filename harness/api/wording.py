"""Messages and errors in the words of Python: no paths of files in memory, no `--fresh`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.study import Study
from harness.errors import Interruption, UserError

if TYPE_CHECKING:
    from harness.results import Outcome
    from harness.sweep.progress import Progress, ProgressDisplay
    from harness.tracking.types import State
    from harness.trial import Trial


WORDS = {
    "rerun the same command to continue": "run it again to continue",
    "use the same --set as before": "use the same settings as before",
    " (--set study.name=": " (",
    "use --fresh": "run it with fresh=True",
    "with --fresh": "with fresh=True",
}
"""What errors say of the command line, and the same in Python."""
COLUMN_ADVICE = re.compile(r'set \[data\.columns\] "?([^"]+?)"? = ("[\w-]+")')
"""What messages say of a column in a study file."""


class _ShortMessages:
    """A display whose messages call the data of memory `the frame` or `the arrays`."""

    def __init__(self, display: ProgressDisplay, study: Study, home: str | Path) -> None:
        self._display, self._study, self._home = display, study, home

    def stage(self, text: str) -> None:
        self._display.stage(text)

    def message(self, text: str) -> None:
        text = COLUMN_ADVICE.sub(r'add columns={"\1": \2}', text)
        self._display.message(self._study._name_files(text, self._home))

    def refresh(self, progress: Progress) -> None:
        self._display.refresh(progress)

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        self._display.trial_ended(progress, trial, state, outcome, reason)


@contextmanager
def use_python_words(
    study: Study | str | Path, home: str | Path, display: ProgressDisplay
) -> Iterator[ProgressDisplay]:
    """Give the display to use, and reword the UserErrors and Interruptions of the body."""
    try:
        yield _ShortMessages(display, study, home) if isinstance(study, Study) else display
    except (UserError, Interruption) as error:
        text = str(error)
        for words, python in WORDS.items():
            text = text.replace(words, python)
        error.args = (study._name_files(text, home) if isinstance(study, Study) else text,)
        raise
