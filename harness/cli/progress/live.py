"""The progress of a sweep in a terminal: the stage, a bar, the best trial, the running trials.

A thread draws it, so that it moves while the main thread imports libraries or waits.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import ExitStack, redirect_stderr
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.cli.progress import wording
from harness.cli.progress.captured_stderr import CapturedStderr
from harness.results import Outcome, TrialResult

if TYPE_CHECKING:
    from harness.sweep.progress import Progress
    from harness.tracking.types import State
    from harness.trial import Trial

DRAWS_A_SECOND = 6
SPINNER, ASCII_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
ENDED_LINES = 5
"""The most ended trials that are shown below the running ones."""
OTHER_LINES = 8
"""Lines that show neither ended nor running trials."""
WIDE, NARROW = 70, 40
"""Below these numbers of columns, the seconds of an epoch and the settings are left out."""
STATES = {
    "COMPLETE": ("done", "green"),
    "PRUNED": ("pruned", "yellow"),
    "FAILED": ("failed", "red"),
    "INTERRUPTED": ("stopped", "red"),
}
"""The words and colours of ended trials."""


class LiveDisplay:
    """Shows the current stage and its trials; leaving the context removes them from the screen."""

    def __init__(self, console: Console, stage: str = "") -> None:
        self._console = console
        self._stage, self._stage_started = stage, time.monotonic()
        self._progress: Progress | None = None
        self._ended: deque[tuple[Text, Text, Text, Text]] = deque(maxlen=ENDED_LINES)
        """Cells of the trials that ended last: trial, settings or reason, state, score."""
        self._draws = 0
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
        self._stage, self._stage_started = text, time.monotonic()
        self._progress = None
        self._ended.clear()
        self._live.refresh()

    def message(self, text: str) -> None:
        for line in text.split("\n"):
            is_command = line.startswith("  ")  # a wrapped command could not be copied
            self._console.print(Text(line), soft_wrap=is_command)

    def refresh(self, progress: Progress) -> None:
        self._progress = progress  # the thread draws it

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        word, colour = STATES[state]
        value = ""
        if isinstance(outcome, TrialResult):
            value = wording.format_value(outcome, progress.objective)
        settings = Text(reason, "red") if reason else Text(trial.spec.describe())
        title = Text(trial.name or trial.title)
        self._ended.appendleft((title, settings, Text(word, colour), Text(value)))

    def draw(self) -> RenderableType:
        """Return what is on the screen now, the most important lines first."""
        self._draws += 1
        progress = self._progress
        if progress is None:
            return Group(self._draw_header(), *self._draw_captured())
        return Group(
            self._draw_header(),
            *self._draw_captured(),
            _draw_bar(progress),
            *_draw_figures(progress, self._console.width),
            Text(),
            *self._draw_trials(progress),
        )

    def _draw_header(self) -> Text:
        frames = SPINNER if self._console.encoding.startswith("utf") else ASCII_SPINNER
        seconds = int(time.monotonic() - self._stage_started)
        header = Text(frames[self._draws % len(frames)], "cyan")
        header.append(f" {self._stage}", "bold")
        return header.append(f"  {seconds // 60}:{seconds % 60:02}", "dim")

    def _draw_captured(self) -> list[Text]:
        """What a library writes, such as the bar of a download."""
        partial = self._stderr.partial
        return [Text(f"  {partial}", "dim", no_wrap=True, overflow="ellipsis")] if partial else []

    def _draw_trials(self, progress: Progress) -> list[RenderableType]:
        """Draw the running trials, and the last ones that ended, as far as there is room."""
        running = progress.running_trials
        room = max(1, self._console.height - OTHER_LINES)
        shown = running if len(running) <= room else running[: max(1, room - 1)]
        names = any(each.trial.name for each in running)
        shows_settings = not names and self._console.width >= NARROW
        shows_seconds = self._console.width >= WIDE
        # Room for the "^C" that a terminal shows: on a line of its own it would spoil the redraw.
        width = self._console.width - 2
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, width=width)
        if names:
            table.add_column(progress.noun, ratio=1, no_wrap=True, overflow="ellipsis")
        else:
            table.add_column(progress.noun, justify="right", no_wrap=True)
        if shows_settings:
            table.add_column("settings", ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column("epoch", justify="right", no_wrap=True)
        table.add_column("val", justify="right", no_wrap=True)
        if shows_seconds:
            table.add_column("s/epoch", justify="right", no_wrap=True)

        def add_row(title: Text, settings: Text, *cells: Text, style: str = "") -> None:
            columns = [title, *([settings] if shows_settings else []), *cells]
            table.add_row(*columns[: len(table.columns)], style=style)

        for each in shown:
            last = each.epochs[-1] if each.epochs else None
            add_row(
                Text(each.trial.name or each.trial.title),
                Text(each.trial.spec.describe()),
                Text(wording.format_epoch(each)),
                Text(wording.format_epoch_score(last) if last else ""),
                Text(f"{last.seconds:.2f}" if last else ""),
            )
        for title, settings, state, value in list(self._ended)[: room - len(shown)]:
            add_row(title, settings, state, value, style="dim")
        hidden = len(running) - len(shown)
        return [table, *([Text(f"and {hidden} more running", style="dim")] if hidden else [])]


def _draw_bar(progress: Progress) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    grid.add_row(
        ProgressBar(progress.target, progress.done), Text(wording.format_done(progress), "bold")
    )
    return grid


def _draw_figures(progress: Progress, width: int) -> list[Text]:
    """Draw the counts, the rate and the remaining time, then the best trial in its own line."""
    parts = wording.format_counts(progress) if progress.target > 1 else []
    parts += [(text, "") for text in (wording.format_rate(progress),) if text]
    parts += [(text, "bold") for text in (wording.format_time_left(progress),) if text]
    figures = [Text()]
    for part in parts:  # a line break is between parts, not inside "3 min left"
        separator = Text(" · " if figures[-1] else "", "dim")
        if len(figures[-1]) + len(separator) + len(part[0]) > width:
            figures.append(Text(*part))
        else:
            figures[-1].append_text(separator).append(*part)
    figures = [line for line in figures if line]
    if progress.best is None:
        return figures
    label, value, settings = wording.format_best(progress.best, progress.objective)
    best = Text.assemble(
        f"{label} ", (value, "bold green"), f"  {settings}", no_wrap=True, overflow="ellipsis"
    )
    return [*figures, best]
