"""Captured screens: what a command writes to a terminal, compared exactly with a text file.

The files are `tests/cli/screens/NAME.txt`. After a wanted change, rewrite them and read the
difference: `UPDATE_SCREENS=1 .venv/bin/pytest tests/cli; git diff tests/cli/screens`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

SCREENS = Path(__file__).parent / "screens"


def assert_screen(name: str, text: str) -> None:
    """Compare `text` with the file of this name; UPDATE_SCREENS writes the file instead.

    Spaces at the ends of lines, which nobody sees, are left out of both. Escape sequences are
    written as `\\x1b`, so that the file can be read.
    """
    path = SCREENS / f"{name}.txt"
    lines = [line.rstrip() for line in text.split("\n")]
    screen = "\n".join(lines).strip("\n").replace("\x1b", r"\x1b") + "\n"
    if os.environ.get("UPDATE_SCREENS"):
        SCREENS.mkdir(exist_ok=True)
        path.write_text(screen, encoding="utf-8")
    expected = path.read_text(encoding="utf-8") if path.is_file() else ""
    assert screen == expected, f"{path.name} differs; to rewrite it: UPDATE_SCREENS=1 pytest"


def remove_escapes(text: str) -> str:
    """Remove colours, cursor movements and links from a terminal's output."""
    text = re.sub(r"\x1b\]8;[^\x1b]*\x1b\\", "", text)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
