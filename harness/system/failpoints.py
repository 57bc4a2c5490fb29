"""Named places between two commits at which a test may kill the driver, or send it a signal.

`HARNESS_FAILPOINT=driver.told` ends the process there by SIGKILL, as a power cut would;
`driver.told:3` when it comes there for the third time; `driver.told=SIGINT` sends that signal
instead; several are divided by commas. Without the variable they do nothing. Every name has a test:
tests/faults/test_failpoints.py reads them out of the code.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "HARNESS_FAILPOINT"


def failpoint(name: str) -> None:
    """Die here, if a test asked for it."""
    wanted = os.environ.get(VARIABLE)
    if wanted:
        os.environ[VARIABLE] = ",".join(_passed(each, name) for each in wanted.split(","))


def _passed(wanted: str, name: str) -> str:
    """What is wanted of the process's further way, now that it comes by `name`."""
    place, _, sent = wanted.partition("=")
    place, _, times = place.partition(":")
    left = int(times or 1) - (place == name)
    if place == name and left == 0:
        os.kill(os.getpid(), signal.Signals[sent or "SIGKILL"])
    return f"{place}:{left}={sent}" if sent else f"{place}:{left}"
