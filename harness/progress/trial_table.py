"""The table of a live display's trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class TrialRow:
    """A trial's cells; a reason for having no result has a line of its own below them."""

    title: str
    settings: str
    progress: Text
    score: str = ""
    seconds: str = ""
    """Seconds of the last epoch."""
    reason: str = ""
    style: str = ""

    @property
    def height(self) -> int:
        """The number of its lines."""
        return 2 if self.reason else 1


@dataclass(frozen=True)
class TrialTable:
    """Rows below a header; a cell that is too long is cut, so that each row has a known height."""

    header: str
    """Of the titles."""
    rows: Sequence[TrialRow]
    has_names: bool
    """The titles name the settings, so there is no column for these."""
    shows_settings: bool
    shows_seconds: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # Room for the "^C" that a terminal shows: on a line of its own it would spoil the redraw.
        width = max(1, options.max_width - 2)
        inner = options.update(max_width=width)
        header, *lines = console.render_lines(self._build_table(width), inner, pad=False)
        yield from (*header, Segment.line())
        for line, row in zip(lines, self.rows, strict=True):
            yield from (*line, Segment.line())
            if row.reason:
                reason = Text(f"  {row.reason}", "dim red", no_wrap=True, overflow="ellipsis")
                yield from (*console.render_lines(reason, options, pad=False)[0], Segment.line())

    def _build_table(self, width: int) -> Table:
        shows_settings = self.shows_settings and not self.has_names
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        if self.has_names or shows_settings:  # the column that takes the rest of the width
            table.width = width
        if self.has_names:
            table.add_column(self.header, ratio=1, no_wrap=True, overflow="ellipsis")
        else:
            table.add_column(self.header, justify="right", no_wrap=True)
        if shows_settings:
            table.add_column("settings", ratio=1, no_wrap=True, overflow="ellipsis")
        for header in ("progress", "val", *(["s/epoch"] if self.shows_seconds else [])):
            table.add_column(header, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(
                Text(row.title),
                *([Text(row.settings)] if shows_settings else []),
                row.progress,
                Text(row.score),
                *([Text(row.seconds)] if self.shows_seconds else []),
                style=row.style,
            )
        return table
