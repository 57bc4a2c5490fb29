"""CPU and wall seconds of a fit, with all of its processes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass
class Seconds:
    """The seconds of a fit; set when `measure` is left."""

    wall: float = 0.0
    cpu: float = 0.0


def use_one_thread() -> None:
    """Set the variables of the numeric libraries, which read them when they are imported."""
    for name in THREADS:
        os.environ[name] = "1"


@contextmanager
def measure() -> Iterator[Seconds]:
    """Measure wall seconds, and CPU seconds (user and system) of this process and its children."""
    seconds = Seconds()
    cpu, wall = _read_cpu(), time.monotonic()
    try:
        yield seconds
    finally:
        seconds.wall, seconds.cpu = time.monotonic() - wall, _read_cpu() - cpu


def _read_cpu() -> float:
    """Sum over this process and all that descend from it.

    A process that ended counts for the parent that waited for it: workers for their fork server.
    """
    root = psutil.Process()
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # user, system, and both of ended children
    return total
