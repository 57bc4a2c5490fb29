"""The result of `harness new-study`: the file that was written, and what became of the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.results import Task
from harness.system.terminal import align_labels, escape

MAX_WIDTH = 100
"""Of the table of columns, where the terminal's width is unknown."""


@dataclass(frozen=True)
class NewStudy:
    """The study file that was written."""

    path: str
    study: str
    """What `harness run-study` takes."""
    data: str
    """A description of the data."""
    task: Task
    notes: tuple[str, ...] = ()
    """What was guessed or left out of the data."""
    columns: tuple[dict[str, Any], ...] = ()
    """What becomes of each column of a table."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def text(self, width: int | None = None) -> str:
        """Return the result for people, wrapped to `width` columns."""
        hint = f'to change a kind, add columns = {{ NAME = "KIND" }} to [data] in {self.path}'
        lines = [
            *([("columns", hint)] if self.columns else []),
            ("wrote", self.path),
            ("data", self.data),
            *(("note", note) for note in self.notes),
            ("estimate", f"harness run-study {self.study} --dry-run"),
            ("run", f"harness run-study {self.study}"),
        ]
        result = align_labels([(label, escape(text)) for label, text in lines], width)
        if not self.columns:
            return result
        from harness.data.table_notes import format_report

        shown = format_report(self.columns, width or MAX_WIDTH).splitlines()
        table = "\n".join(map(escape, shown))
        return f"{table}\n\n{result}"
