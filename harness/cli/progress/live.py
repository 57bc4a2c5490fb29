"""The progress of a sweep as a live table in a terminal."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.analysis.formatting import format_duration
from harness.cli.progress.plain import format_outcome
from harness.metrics import format_objective
from harness.results import EpochMetrics, Outcome
from harness.sweep.progress import Progress
from harness.tracking.types import State
from harness.trial import Trial

REDRAW_SECONDS = 0.25
ENDED_LINES = 5
"""The number of ended trials that stay visible above the table."""
OTHER_LINES = 7
"""Lines that show neither ended nor running trials."""
STATE_COLOURS = {"COMPLETE": "green", "PRUNED": "yellow", "FAILED": "red", "INTERRUPTED": "red"}


class LiveTable:
    """Shows running trials, the best trial and the rate; leaving the context removes the table."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._ended: deque[Text] = deque(maxlen=ENDED_LINES)
        self._drawn_at = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def message(self, text: str) -> None:
        self._live.update("", refresh=True)
        self._console.print(Text(text))

    def refresh(self, progress: Progress) -> None:
        if time.monotonic() - self._drawn_at >= REDRAW_SECONDS:
            self._live.update(self._draw(progress), refresh=True)
            self._drawn_at = time.monotonic()

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        line = Text(
            f"{trial.title:>4}  {trial.spec.describe()}  ", overflow="ellipsis", no_wrap=True
        )
        line.append(
            format_outcome(state, outcome, reason, progress.objective), style=STATE_COLOURS[state]
        )
        self._ended.append(line)

    def _draw(self, progress: Progress) -> Group:
        table = Table(box=None, pad_edge=False, expand=True)
        table.add_column("trial", justify="right", no_wrap=True)
        table.add_column("settings", ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column("epoch", justify="right", no_wrap=True)
        table.add_column("val", justify="right", no_wrap=True)
        table.add_column("s/epoch", justify="right", no_wrap=True)
        running_now = list(progress.running.values())
        shown = running_now[: max(1, self._console.size.height - ENDED_LINES - OTHER_LINES)]
        for running in shown:
            spec, last = running.trial.spec, running.epochs[-1] if running.epochs else None
            table.add_row(
                running.trial.title,
                spec.describe(),
                f"{last.epoch if last else 0}/{spec.epochs}",
                _format_score(last) if last else "",
                f"{last.seconds:.2f}" if last else "",
            )
        hidden = len(running_now) - len(shown)
        more = [Text(f"      and {hidden} more", style="dim")] if hidden else []
        return Group(*self._ended, Text(), table, *more, Text(), *_format_summary(progress))


def _format_score(epoch: EpochMetrics) -> str:
    return format_objective(
        epoch.score, "val/rmse" if epoch.val_accuracy is None else "val/accuracy"
    )


def _format_summary(progress: Progress) -> list[Text]:
    counts = progress.counts
    text = Text()
    text.append(f"{counts.done}/{progress.target} trials", style="bold")
    if counts.pruned:
        text.append(f"  {counts.pruned} pruned", style="yellow")
    if counts.failed:
        text.append(f"  {counts.failed} failed", style="red")
    minutes = max(progress.elapsed, 1e-9) / 60
    text.append(f"  {progress.ended_trials / minutes:.0f} trials/min")
    text.append(f"  {progress.epochs / minutes / 60:.1f} epochs/s")
    if progress.seconds_left:
        text.append(f"  {format_duration(progress.seconds_left)} left")
    if progress.best is None:
        return [text]
    best = Text(f"best {progress.objective} ", overflow="ellipsis", no_wrap=True)
    best.append(format_objective(progress.best.value, progress.objective), style="bold green")
    best.append(f"  trial {progress.best.title}: {progress.best.settings}")
    return [best, text]
