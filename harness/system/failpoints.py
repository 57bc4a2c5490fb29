"""Failpoints: named places between two commits where a test can kill or signal the driver.

`HARNESS_FAILPOINT=driver.told` kills the process there by SIGKILL, as a power cut would;
`driver.told:3` at the third time; `driver.told=SIGINT` sends that signal instead. Several are
separated by commas. Without the variable, failpoints do nothing. Every name has a test:
tests/faults/test_failpoints.py reads them from the code.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "HARNESS_FAILPOINT"


def failpoint(name: str) -> None:
    """Kill or signal this process if the variable names this place."""
    failpoints = os.environ.get(VARIABLE)
    if failpoints:
        os.environ[VARIABLE] = ",".join(_count_down(each, name) for each in failpoints.split(","))


def _count_down(entry: str, name: str) -> str:
    """Act if `entry` is due at the place `name`; return it with the times that are left."""
    place, _, signal_name = entry.partition("=")
    place, _, times = place.partition(":")
    left = int(times or 1) - (place == name)
    if place == name and left == 0:
        os.kill(os.getpid(), signal.Signals[signal_name or "SIGKILL"])
    return f"{place}:{left}={signal_name}" if signal_name else f"{place}:{left}"
