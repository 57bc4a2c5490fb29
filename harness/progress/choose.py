"""Choose the display for where a study runs: a notebook, a terminal, a script's log."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from harness.errors import ConfigError
from harness.sweep.progress import ProgressDisplay, Silent


@contextmanager
def open_progress(
    progress: bool | ProgressDisplay = True, stage: str = "reading the study"
) -> Iterator[ProgressDisplay]:
    """Open the display: a table in a notebook or a terminal, dated lines elsewhere.

    It imports nothing heavy: open it before what does.

    Args:
        progress: False shows nothing; a display is used as it is.
        stage: the first stage.

    Raises:
        ConfigError: `progress` is something else.
    """
    if progress is False:
        yield Silent()
    elif progress is not True:
        if not callable(getattr(progress, "trial_ended", None)):
            raise ConfigError(f"progress: {progress!r} is neither True nor False nor a display")
        yield progress
    elif is_notebook():
        from harness.progress.notebook import NotebookDisplay

        with NotebookDisplay(stage) as display:
            yield display
    elif is_live_terminal(sys.stderr):
        from rich.console import Console

        from harness.progress.live import LiveDisplay

        # The stream itself: sys.stderr is replaced while the display is open.
        console = Console(file=sys.stderr, force_terminal=True, highlight=False)
        with LiveDisplay(console, stage) as live:
            yield live
    else:
        from harness.progress.plain import Plain

        plain = Plain()
        plain.stage(stage)
        yield plain


def is_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def is_live_terminal(stream: TextIO) -> bool:
    """Whether the stream is a terminal whose cursor can be moved."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
