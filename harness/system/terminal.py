"""What others gave, made fit for a terminal: names and values in an error, names in a table."""

from __future__ import annotations

LONGEST_WORD, LONGEST_LINE = 300, 1400
"""Characters: of what is longer the middle is left out."""


def harmless(text: str) -> str:
    """`text` on one line that a terminal shows and does not obey.

    What it would obey, or what looks like something else, is written as Python would (`\\x1b`).
    """
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    words = (_shortened(word, LONGEST_WORD) for word in shown.split(" "))
    return _shortened(" ".join(words), LONGEST_LINE)


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most * 2 // 3]}[...]{text[-most // 4 :]}"
