"""What the fork server imports, and nobody else: torch, once for all the workers that it forks."""

from __future__ import annotations

import atexit
import os
import sys

import harness.executors.worker  # noqa: F401

if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
    # Python takes seconds to clear torch away, nine where all cores train; the workers of a driver
    # that died end with this process.
    atexit.register(os._exit, 0)
