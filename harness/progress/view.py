"""What a display shows now: the stage, a bar, the best trial, the running and the ended trials."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.progress import wording
from harness.progress.trial_table import TrialRow, TrialTable
from harness.results import Outcome, TrialResult

if TYPE_CHECKING:
    from harness.results import Objective
    from harness.sweep.progress import BestTrial, Progress, RunningTrial
    from harness.tracking.types import State
    from harness.trial import Trial

SPINNER, ASCII_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
ENDED_LINES = 5
"""The most ended trials that are shown below the running ones."""
OTHER_LINES = 3
"""Lines of the trials' table that are no trials: its header, what is hidden, and one spare."""
WIDE, NARROW = 70, 40
"""Below these numbers of columns, the seconds of an epoch and the settings are left out.

A confirmation, which repeats few settings, leaves both out below WIDE."""
STATES = {
    "COMPLETE": ("done", "green"),
    "PRUNED": ("pruned", "yellow"),
    "FAILED": ("failed", "red"),
    "INTERRUPTED": ("interrupted", "red"),
}
"""The words and colours of ended trials."""


class ProgressView:
    """The state of a sweep that a display draws."""

    def __init__(self, console: Console, stage: str = "") -> None:
        self._console = console
        self._stage, self._stage_started = stage, time.monotonic()
        self._progress: Progress | None = None
        self._ended: deque[TrialRow] = deque(maxlen=ENDED_LINES)
        """The trials that ended last, the latest first."""
        self._draws = 0

    def stage(self, text: str) -> None:
        self._stage, self._stage_started = text, time.monotonic()
        self._progress = None
        self._ended.clear()

    def refresh(self, progress: Progress) -> None:
        self._progress = progress

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        word, colour = STATES[state]
        value = ""
        if isinstance(outcome, TrialResult):
            value = wording.format_value(outcome, progress.objective)
        row = TrialRow(
            trial.name or trial.title,
            trial.spec.describe(),
            Text(word, colour),
            value,
            reason=wording.format_reason(state, reason, progress),
            style="dim",
        )
        self._ended.appendleft(row)

    def draw(self, captured: str = "") -> RenderableType:
        """Return what to show now, the most important lines first.

        `captured` is what a library writes to stderr, such as the bar of a download.
        """
        self._draws += 1
        progress = self._progress
        if progress is None:
            return Group(self._draw_header(), *_draw_captured(captured))
        above = Group(
            self._draw_header(),
            *_draw_captured(captured),
            _draw_bar(progress),
            *_draw_figures(progress, self._console.width),
            Text(),
        )
        lines = len(self._console.render_lines(above, pad=False))
        return Group(above, *self._draw_trials(progress, self._console.height - lines))

    def _draw_header(self) -> Table:
        frames = SPINNER if self._console.encoding.startswith("utf") else ASCII_SPINNER
        seconds = int(time.monotonic() - self._stage_started)
        header = Table.grid(padding=(0, 1, 0, 0))
        for is_title in (False, True, False):  # a long title wraps, the clock does not
            header.add_column(no_wrap=not is_title)
        header.add_row(
            Text(frames[self._draws % len(frames)], "cyan"),
            Text(self._stage, "bold"),
            Text(f" {seconds // 60}:{seconds % 60:02} elapsed", "dim"),
        )
        return header

    def _draw_trials(self, progress: Progress, height: int) -> list[RenderableType]:
        """Draw the running trials, and the last ones that ended, as far as there is room."""
        running = progress.running_trials
        room = max(1, height - OTHER_LINES)
        shown = running if len(running) <= room else running[: max(1, room - 1)]
        is_wide = self._console.width >= WIDE
        rows = [_make_row(each, is_wide, progress.objective) for each in shown]
        room -= len(rows)
        for row in self._ended:
            room -= row.height
            if room < 0:
                break
            rows.append(row)
        is_confirmation = any(each.trial.confirms is not None for each in running)
        run = "split" if any(each.trial.split for each in running) else "seed"
        table = TrialTable(
            header=f"trial, {run}" if is_confirmation else progress.noun,
            rows=rows,
            has_names=any(each.trial.name for each in running),
            shows_settings=self._console.width >= (WIDE if is_confirmation else NARROW),
            shows_seconds=is_wide,
        )
        hidden = len(running) - len(shown)
        return [table, *([Text(f"and {hidden} more running", style="dim")] if hidden else [])]


def _draw_captured(text: str) -> list[Text]:
    return [Text(f"  {text}", "dim", no_wrap=True, overflow="ellipsis")] if text else []


def _make_row(running: RunningTrial, is_wide: bool, objective: Objective) -> TrialRow:
    last = running.epochs[-1] if running.epochs else None
    epoch = wording.format_epoch(running)
    return TrialRow(
        running.trial.name or running.trial.title,
        running.trial.spec.describe(),
        Text(f"epoch {epoch}" if is_wide else epoch),
        wording.format_epoch_score(last, objective) if last else "",
        f"{last.seconds:.2f}" if last else "",
    )


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
    return [*figures, *_draw_best(progress.best, progress.objective, width)]


def _draw_best(best: BestTrial, objective: Objective, width: int) -> list[Text]:
    """Draw the best trial in one line; if it is too long, the settings are in a second one."""
    label, value = wording.format_best(best, objective)
    score = Text.assemble(f"{label} ", (value, "bold green"))
    if len(score) + 2 + len(best.describe()) <= width:
        return [score.append(f"  {best.describe()}")]
    settings = [Text(f"  {best.settings}")] if best.settings and width >= NARROW else []
    if len(score) + 2 + len(best.label) <= width:
        return [score.append(f"  {best.label}"), *settings]
    return [score, Text(f"  {best.label}"), *settings]
