"""Format text for a terminal: labels and texts in columns, untrusted text escaped."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

MAX_WORD, MAX_LINE = 300, 1400
"""Characters of a word and of a line; the middle of longer ones is left out."""
MIN_TEXT_WIDTH = 20
"""A terminal that leaves a text fewer columns gets longer lines."""


def escape(text: str) -> str:
    """Return `text` on one line, with unprintable characters escaped as in Python (`\\x1b`)."""
    printable = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    words = (_shorten(word, MAX_WORD) for word in printable.split(" "))
    return _shorten(" ".join(words), MAX_LINE)


def align_labels(lines: Sequence[tuple[str, str]], width: int | None = None) -> str:
    """Format (label, text) pairs as lines for a terminal, the texts in one column.

    Args:
        width: wrap the texts to this number of columns. A word, such as a path, is never broken.
    """
    column = max(len(label) for label, _ in lines) + 2
    if width is None:
        return "\n".join(f"{label:<{column}}{text}" for label, text in lines)
    return "\n".join(
        textwrap.fill(
            text,
            max(width, column + MIN_TEXT_WIDTH),
            initial_indent=label.ljust(column),
            subsequent_indent=" " * column,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for label, text in lines
    )


def _shorten(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    return f"{text[: length * 2 // 3]}[...]{text[-length // 4 :]}"
