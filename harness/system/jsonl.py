"""Append-only files of lines: a write that was cut in two leaves half a line at their end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from harness.errors import StoreError


def mend(path: Path, is_whole: Callable[[bytes], bool], advice: str) -> None:
    """Cut a torn end off, keeping it beside as `<name>.cut-<time>`.

    `is_whole` tells a good line, which ends in a line feed. Raises StoreError where good lines
    follow a bad one: that is no torn end, and is left as it is; `advice` says what to do then.
    """
    if not path.is_file():
        return
    content = path.read_bytes()
    kept = _whole_until(path, content, is_whole, advice)
    if kept == len(content):
        return
    beside = path.with_name(f"{path.name}.cut-{time.strftime('%Y%m%d-%H%M%S')}")
    beside.write_bytes(content[kept:])
    with path.open("r+b") as stream:
        stream.truncate(kept)


def _whole_until(path: Path, content: bytes, is_whole: Callable[[bytes], bool], advice: str) -> int:
    """How many bytes are good lines; StoreError, naming `path`, where good ones follow a bad."""
    lines, whole, kept = content.splitlines(keepends=True), 0, 0
    for line in lines:
        if not (line.endswith(b"\n") and is_whole(line)):
            break
        whole, kept = whole + 1, kept + len(line)
    if any(is_whole(line) for line in lines[whole + 1 :]):
        raise StoreError(
            f"{path}: line {whole + 1} is damaged and whole records follow it; {advice}"
        )
    return kept
