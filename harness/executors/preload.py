"""What the fork server imports, and nobody else: torch, once for all the workers that it forks."""

from __future__ import annotations

import sys

from harness.executors.tether import end_with_parent

if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
    # Left to itself it would first import torch to the end, 2 to 10 s, and then take as long to
    # clear it away, before it saw that its driver is gone; its workers end with it.
    end_with_parent()

import harness.executors.worker  # noqa: F401
