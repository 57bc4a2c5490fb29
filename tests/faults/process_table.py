"""Which processes are there, by Linux's /proc."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path


def _stat(pid: int) -> tuple[str, int]:
    """State and parent of a process. Raises OSError where there is none."""
    state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    return state, int(parent)


def is_gone(pid: int) -> bool:
    """A zombie has ended: that nobody asks for its exit status is its parent's affair."""
    try:
        return _stat(pid)[0] == "Z"
    except OSError:
        return True


def descendants(pid: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = _stat(int(entry.name))[1]
            except OSError:
                continue  # it ended meanwhile
    found, more = set[int](), {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more}
        found |= more
    return found


def stop(pid: int) -> None:
    """Send SIGSTOP and see it take effect: a process on a busy machine goes on for a moment."""
    os.kill(pid, signal.SIGSTOP)
    while _stat(pid)[0] != "T":
        time.sleep(0.001)


def wait_gone(pids: Iterable[int], seconds: float = 3) -> None:
    deadline = time.monotonic() + seconds
    while left := [pid for pid in pids if not is_gone(pid)]:
        assert time.monotonic() < deadline, f"still there after {seconds} s: {left}"
        time.sleep(0.01)
