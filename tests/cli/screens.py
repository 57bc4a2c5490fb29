"""Captured screens: what a command shows, compared with a text file character by character.

`UPDATE_SCREENS=1 pytest tests/cli` writes the files anew; read the difference before committing it.
"""

from __future__ import annotations

import os
from pathlib import Path

SCREENS = Path(__file__).parent / "screens"


def assert_screen(name: str, text: str) -> None:
    """Compare `text` with screens/NAME.txt."""
    path = SCREENS / f"{name}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert path.is_file(), f"{path.name} is missing; write it with UPDATE_SCREENS=1"
    assert text == path.read_text("utf-8")
