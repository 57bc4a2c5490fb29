"""What libraries write to stderr while a live display is on the screen, line by line."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TextIO

from harness.system.terminal import escape


class CapturedStderr(io.TextIOBase):
    """Passes whole lines to `show_line`; the last unfinished one, such as a progress bar's, is in
    `partial`."""

    encoding = "utf-8"

    def __init__(self, stream: TextIO, show_line: Callable[[str], None]) -> None:
        self._stream, self._show_line, self._text = stream, show_line, ""

    def fileno(self) -> int:
        """That of the real stream: new processes inherit it."""
        return self._stream.fileno()

    @property
    def partial(self) -> str:
        """What a terminal would show of the unfinished line: a carriage return begins it anew."""
        return escape(self._text.rstrip("\r").rpartition("\r")[2]).strip()

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *lines, self._text = (self._text + text).split("\n")
        for line in lines:
            if shown := line.rstrip("\r").rpartition("\r")[2].rstrip():
                self._show_line(escape(shown))
        return len(text)
