"""The progress of a sweep in a notebook: one output of the cell, which is replaced in place.

It needs no widgets: the notebook stores the output like any other, so it is there when the
notebook is opened again. What stays at the end are the messages.
"""

from __future__ import annotations

import io
import time
import warnings
from typing import TYPE_CHECKING

from IPython.display import HTML, DisplayHandle
from rich.console import Console, Group, RenderableType
from rich.text import Text

from harness.progress.view import ProgressView
from harness.results import Outcome

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from harness.sweep.progress import Progress
    from harness.tracking.types import State
    from harness.trial import Trial

WIDTH, HEIGHT = 88, 24
"""Columns and lines of the drawing."""
SECONDS = 0.5
"""The shortest time between two drawings."""
PAGE = (
    '<pre style="line-height:1.25;white-space:pre;overflow-x:auto;'
    "font-family:Menlo,'DejaVu Sans Mono',Consolas,monospace\">{code}</pre>"
)


def import_tqdm() -> None:
    """Import tqdm, which MLflow does, without its warning that asks for widgets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tqdm.auto  # noqa: F401


class NotebookDisplay:
    """Shows the stage and the trials below the cell; leaving the context leaves the messages."""

    def __init__(self, stage: str = "") -> None:
        self._console = Console(
            file=io.StringIO(), record=True, width=WIDTH, height=HEIGHT, force_terminal=True,
            color_system="standard", legacy_windows=False, force_jupyter=False, highlight=False,
        )  # fmt: skip
        self._view = ProgressView(self._console, stage)
        self._messages: list[str] = []
        self._drawn_at = 0.0
        self._handle = DisplayHandle()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        import_tqdm()
        self._handle.display(self._render(self._view.draw()))  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._update(Text())

    def stage(self, text: str) -> None:
        self._view.stage(text)
        self._update(self._view.draw())

    def message(self, text: str) -> None:
        self._messages.append(text)
        self._update(self._view.draw())

    def refresh(self, progress: Progress) -> None:
        self._view.refresh(progress)
        if time.monotonic() - self._drawn_at >= SECONDS:
            self._update(self._view.draw())

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        self._view.trial_ended(progress, trial, state, outcome, reason)

    def _update(self, view: RenderableType) -> None:
        self._handle.update(self._render(view))  # type: ignore[no-untyped-call]
        self._drawn_at = time.monotonic()

    def _render(self, view: RenderableType) -> HTML:
        self._console.print(Group(*(Text(text) for text in self._messages), view))
        html = self._console.export_html(inline_styles=True, code_format=PAGE, clear=True)
        return HTML(html)  # type: ignore[no-untyped-call]
