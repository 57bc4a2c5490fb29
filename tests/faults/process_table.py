"""Running processes, read from Linux's /proc."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path


def _stat(pid: int) -> tuple[str, int]:
    """State and parent of a process. Raises OSError if there is no such process."""
    state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    return state, int(parent)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return _stat(pid)[0] == "Z"
    except OSError:
        return True


def find_descendants(pid: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = _stat(int(entry.name))[1]
            except OSError:
                continue  # it has ended
    descendants, generation = set[int](), {pid}
    while generation:
        generation = {child for child, parent in parents.items() if parent in generation}
        descendants |= generation
    return descendants


def stop(pid: int) -> None:
    """Send SIGSTOP, and wait until it has taken effect."""
    os.kill(pid, signal.SIGSTOP)
    while _stat(pid)[0] != "T":
        time.sleep(0.001)


def wait_gone(pids: Iterable[int], seconds: float = 3) -> None:
    deadline = time.monotonic() + seconds
    while left := [pid for pid in pids if not is_gone(pid)]:
        assert time.monotonic() < deadline, f"still running after {seconds} s: {left}"
        time.sleep(0.01)
