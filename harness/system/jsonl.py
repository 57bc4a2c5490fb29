"""Append-only files of lines: cut off the half-written line that a crash left at their end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from harness.errors import StoreError


def cut_torn_end(path: Path, is_complete: Callable[[bytes], bool], advice: str) -> None:
    """Cut a torn end off the file, and save it next to it as `<name>.cut-<time>`.

    Args:
        is_complete: Whether a line, which ends in a line feed, is a complete record.
        advice: What to do about a damaged file, for the error.

    Raises StoreError if complete lines follow a damaged one. That is not a torn end, and the file
    is not changed.
    """
    if not path.is_file():
        return
    content = path.read_bytes()
    size = _count_good_bytes(path, content, is_complete, advice)
    if size == len(content):
        return
    backup = path.with_name(f"{path.name}.cut-{time.strftime('%Y%m%d-%H%M%S')}")
    with backup.open("ab") as kept:  # there may be one of this second, if the clock was set back
        kept.write(content[size:])
    with path.open("r+b") as stream:
        stream.truncate(size)


def _count_good_bytes(
    path: Path, content: bytes, is_complete: Callable[[bytes], bool], advice: str
) -> int:
    """Return the size of the complete lines. Raises StoreError if more follow a damaged one."""
    lines, count, size = content.splitlines(keepends=True), 0, 0
    for line in lines:
        if not (line.endswith(b"\n") and is_complete(line)):
            break
        count, size = count + 1, size + len(line)
    if any(is_complete(line) for line in lines[count + 1 :]):
        raise StoreError(
            f"{path}: line {count + 1} is damaged and complete records follow it; {advice}"
        )
    return size
