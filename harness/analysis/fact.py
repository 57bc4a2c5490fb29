"""One fact about a finished study, with the forms that text, terminal, JSON and page render."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

TEXT_ONLY: Final = object()
"""The value of a fact that JSON leaves out."""


@dataclass(frozen=True)
class Fact:
    """One fact about a study. A new one needs an entry in `list_facts` and nothing else."""

    key: str
    """Its key in JSON."""
    label: str = ""
    text: str = ""
    """The fact in words, in one or several lines; empty if the text leaves it out."""
    short: str = ""
    """The fact in one short sentence, for a summary that fits a screen; empty to leave it out."""
    value: Any = TEXT_ONLY
    """What JSON has."""

    @property
    def lines(self) -> list[tuple[str, str]]:
        """(label, text) pairs; only the first line has the label."""
        lines = self.text.splitlines()
        return [("" if index else self.label, line) for index, line in enumerate(lines)]
