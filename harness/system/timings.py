"""The seconds of each phase of a command: a table on stderr at its end, if HARNESS_TIMINGS=1.

`harness run-study` also writes them beside its report, as `timings.json`. They are not sent to
MLflow, because the last phases end after the last write.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "HARNESS_TIMINGS"
FILE = "timings.json"


@dataclass
class Phase:
    name: str
    start: float
    """Seconds since the process started."""
    seconds: float | None = None
    """None until it ends."""
    cpu: float = 0.0
    """CPU seconds of this process, or of one thread."""
    thread: str = ""
    """Empty for a phase of the command itself; its phases follow each other."""


_PHASES: list[Phase] = []
_CURRENT: list[tuple[Phase, float]] = []
"""The command's current phase, and the process's CPU time at its start."""


def is_enabled() -> bool:
    return os.environ.get(VARIABLE, "") not in ("", "0")


def begin(name: str) -> None:
    """Begin a phase of the command, which ends the one before it."""
    if not is_enabled():
        return
    now, cpu = _get_age(), time.process_time()
    if not _PHASES:
        _PHASES.append(Phase("starting", 0.0, now, cpu))
    _end(now, cpu)
    _CURRENT[:] = [(Phase(name, now), cpu)]
    _PHASES.append(_CURRENT[0][0])


def mark(name: str) -> None:
    """Record a moment, the first time that it is called with this name."""
    if is_enabled() and all(phase.name != name for phase in _PHASES):
        _PHASES.append(Phase(name, _get_age(), 0.0, 0.0, threading.current_thread().name))


@contextmanager
def measure(name: str) -> Iterator[None]:
    """Measure the body: a part of a phase, or work in another thread."""
    if not is_enabled():
        yield
        return
    phase, cpu = Phase(name, _get_age(), thread=threading.current_thread().name), time.thread_time()
    _PHASES.append(phase)
    try:
        yield
    finally:
        phase.seconds, phase.cpu = _get_age() - phase.start, time.thread_time() - cpu


def format_phases() -> str:
    """Format the phases as a table, in the order in which they began."""
    _end(_get_age(), time.process_time())
    lines = [f"{'start':>7}  {'seconds':>7}  {'CPU':>6}  phase"]
    for phase in sorted(_PHASES, key=lambda phase: phase.start):
        seconds = "" if phase.seconds is None else f"{phase.seconds:.2f}"
        name = f"  {phase.name} ({phase.thread})" if phase.thread else phase.name
        lines.append(f"{phase.start:7.2f}  {seconds:>7}  {phase.cpu:6.2f}  {name}")
    lines.append(f"{_get_age():7.2f}  {'':>7}  {time.process_time():6.2f}  the end")
    return "\n".join(lines)


def write_phases(folder: Path) -> None:
    """Write the phases so far as JSON to a folder that exists."""
    if is_enabled():
        phases = [asdict(phase) for phase in _PHASES]
        with suppress(OSError):
            (folder / FILE).write_text(json.dumps({"phases": phases, "end": _get_age()}, indent=1))


def _end(now: float, cpu: float) -> None:
    """End the command's current phase."""
    for phase, before in _CURRENT:
        phase.seconds, phase.cpu = now - phase.start, cpu - before
    _CURRENT.clear()


def _get_age() -> float:
    """Return the seconds since this process started; its CPU time if not on Linux."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError):
        return time.process_time()
