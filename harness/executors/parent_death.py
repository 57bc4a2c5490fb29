"""Workers never outlive their driver: not in the middle of a long epoch, not while stopped."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from multiprocessing import forkserver

PR_SET_PDEATHSIG = 1  # from Linux's prctl.h
DRIVER = "HARNESS_DRIVER"
"""The driver's process id, in the environment of its fork server."""


def tie_to_driver() -> None:
    """Have the kernel kill this worker when the driver is gone, however that went.

    The kernel looks at a worker's parent, the fork server. That ends when nobody holds the writing
    end of its pipe any more: the driver does, and each worker that does not let go of it. Where
    there is no such call (macOS), a worker finds out when it reports its epoch.
    """
    if sys.platform != "linux":
        return
    server = vars(forkserver._forkserver)
    alive, server["_forkserver_alive_fd"] = server["_forkserver_alive_fd"], None
    if alive is not None:
        os.close(alive)
    end_with_parent()
    driver = multiprocessing.parent_process()
    if driver is not None and not driver.is_alive():  # died before the call: no signal will come
        os._exit(1)


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it is gone; Linux only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def tie_fork_server() -> None:
    """Left to itself it would first import torch to its end, 2 to 10 s, and then take as long to
    clear it away, before it saw that its driver is gone; its workers end with it."""
    if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
        end_with_parent()
        if os.getppid() != int(os.environ.get(DRIVER, os.getppid())):
            os._exit(0)  # died before the call: no signal will come


def name_driver() -> None:
    """Before the fork server is started: so it knows whose it is."""
    os.environ[DRIVER] = str(os.getpid())
