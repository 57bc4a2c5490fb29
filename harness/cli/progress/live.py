"""A live table in a terminal: what runs, what is best, how fast, how long still."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.analysis.formatting import duration
from harness.cli.progress.plain import outcome_text
from harness.metrics import written
from harness.results import EpochMetrics, Outcome
from harness.sweep.driver import Progress
from harness.tracking.types import State
from harness.trial import Trial

REDRAW_SECONDS = 0.25
LAST = 5
"""Trials that ended stay visible for so many others."""
OTHER_LINES = 7
"""Beside the trials that ended and those that run."""
COLOUR = {"COMPLETE": "green", "PRUNED": "yellow", "FAILED": "red", "INTERRUPTED": "red"}


class LiveTable:
    """Use as a context manager: leaving it takes the table away, messages stay."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._last: deque[Text] = deque(maxlen=LAST)
        self._drawn = 0.0

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
        if time.monotonic() - self._drawn >= REDRAW_SECONDS:
            self._live.update(self._draw(progress), refresh=True)
            self._drawn = time.monotonic()

    def ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        line = Text(
            f"{trial.title:>4}  {trial.spec.describe()}  ", overflow="ellipsis", no_wrap=True
        )
        line.append(outcome_text(state, outcome, reason, progress.objective), style=COLOUR[state])
        self._last.append(line)

    def _draw(self, progress: Progress) -> Group:
        table = Table(box=None, pad_edge=False, expand=True)
        table.add_column("trial", justify="right", no_wrap=True)
        table.add_column("settings", ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column("epoch", justify="right", no_wrap=True)
        table.add_column("val", justify="right", no_wrap=True)
        table.add_column("s/epoch", justify="right", no_wrap=True)
        running_now = list(progress.running.values())
        shown = running_now[: max(1, self._console.size.height - LAST - OTHER_LINES)]
        for running in shown:
            spec, last = running.trial.spec, running.epochs[-1] if running.epochs else None
            table.add_row(
                running.trial.title,
                spec.describe(),
                f"{last.epoch if last else 0}/{spec.epochs}",
                _score(last) if last else "",
                f"{last.seconds:.2f}" if last else "",
            )
        hidden = len(running_now) - len(shown)
        more = [Text(f"      and {hidden} more", style="dim")] if hidden else []
        return Group(*self._last, Text(), table, *more, Text(), *_summary(progress))


def _score(epoch: EpochMetrics) -> str:
    return written(epoch.score, "val/rmse" if epoch.val_accuracy is None else "val/accuracy")


def _summary(progress: Progress) -> list[Text]:
    counts = progress.counts
    text = Text()
    text.append(f"{counts.done}/{progress.target} trials", style="bold")
    if counts.pruned:
        text.append(f"  {counts.pruned} pruned", style="yellow")
    if counts.failed:
        text.append(f"  {counts.failed} failed", style="red")
    minutes = max(progress.elapsed, 1e-9) / 60
    text.append(f"  {progress.ended / minutes:.0f} trials/min")
    text.append(f"  {progress.epochs / minutes / 60:.1f} epochs/s")
    if progress.left:
        text.append(f"  {duration(progress.left)} left")
    if progress.best is None:
        return [text]
    best = Text(f"best {progress.objective} ", overflow="ellipsis", no_wrap=True)
    best.append(written(progress.best.value, progress.objective), style="bold green")
    best.append(f"  trial {progress.best.title}: {progress.best.settings}")
    return [best, text]
