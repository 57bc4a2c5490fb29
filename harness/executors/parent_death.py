"""Workers end with their driver: also in the middle of a long epoch, and while stopped."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from multiprocessing import forkserver

PR_SET_PDEATHSIG = 1  # from Linux's prctl.h
DRIVER_VARIABLE = "HARNESS_DRIVER"
"""Environment variable of a fork server: the driver's process id."""


def end_with_driver() -> None:
    """Have the kernel kill this worker when its driver ends.

    A worker's parent is the fork server, which ends when no process holds the write end of its pipe
    any more. The driver holds it, and so would each worker: they close it here. On macOS, which has
    no such system call, a worker ends when it next reports an epoch.
    """
    if sys.platform != "linux":
        return
    server = vars(forkserver._forkserver)
    pipe, server["_forkserver_alive_fd"] = server["_forkserver_alive_fd"], None
    if pipe is not None:
        os.close(pipe)
    end_with_parent()
    driver = multiprocessing.parent_process()
    if driver is not None and not driver.is_alive():  # it died before the call: no signal will come
        os._exit(1)


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends; Linux only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_fork_server_with_driver() -> None:
    """Have the kernel kill the fork server when its driver ends.

    By itself it would notice that only after importing torch, 2 to 10 s, and would then take as
    long again to end; its workers end with it.
    """
    if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
        end_with_parent()
        if os.getppid() != int(os.environ.get(DRIVER_VARIABLE, os.getppid())):
            os._exit(0)  # the driver died before the call: no signal will come


def record_driver() -> None:
    """Record this process as the driver of the fork server that it is about to start."""
    os.environ[DRIVER_VARIABLE] = str(os.getpid())
