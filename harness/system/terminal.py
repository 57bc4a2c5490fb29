"""Escape untrusted text, such as names and values in an error, for a terminal."""

from __future__ import annotations

MAX_WORD, MAX_LINE = 300, 1400
"""Characters of a word and of a line; the middle of longer ones is left out."""


def escape(text: str) -> str:
    """Return `text` on one line, with unprintable characters escaped as in Python (`\\x1b`)."""
    printable = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    words = (_shorten(word, MAX_WORD) for word in printable.split(" "))
    return _shorten(" ".join(words), MAX_LINE)


def _shorten(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    return f"{text[: length * 2 // 3]}[...]{text[-length // 4 :]}"
