"""The fork server: one process that has imported torch, from which all workers are forked.

It is multiprocessing's. This file decides how it is started: from a thread that lasts, without the
current folder on its import path, and with an error that says why it died.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import forkserver, resource_tracker

from harness.errors import ConfigError, HarnessError
from harness.executors.parent_death import record_driver

PRELOAD = "harness.executors.forkserver_preload"
SAFE_PATH_VARIABLE = "PYTHONSAFEPATH"
"""Python's: while it is set, a new interpreter does not import from the current folder."""
DIAGNOSIS_TIMEOUT = 60.0
"""Seconds to import the preloaded modules once more, to learn why that failed."""


def check_workers_allowed() -> None:
    """Raise ConfigError if this process cannot start workers."""
    if multiprocessing.current_process().daemon:
        raise ConfigError(
            "a daemonic process, such as a worker of multiprocessing.Pool, cannot start worker "
            "processes; use --workers 0 (in Python: workers=0)"
        )


def can_fork_workers() -> bool:
    """Whether workers are forked: that is not safe on macOS after torch was imported."""
    return sys.platform != "darwin"


def start_fork_server() -> None:
    """Start the fork server if none is running; it imports torch in the background.

    The kernel ends the fork server with the *thread* that started it. So a thread that lasts as
    long as the process starts it, not a study's thread, which may end before another's.
    """
    _get_lasting_thread().submit(_ensure_running).result()


def describe_death() -> str:
    """Say why the fork server died: the last line of its error, or how its process ended."""
    command = [sys.executable, "-P", "-c", f"import {PRELOAD}"]
    with suppress(OSError, subprocess.SubprocessError):
        trial = subprocess.run(command, capture_output=True, text=True, timeout=DIAGNOSIS_TIMEOUT)
        lines = trial.stderr.strip().splitlines()
        if trial.returncode > 0 and lines:
            return lines[-1].strip()
        if trial.returncode < 0:
            return f"signal {-trial.returncode}"
    return "it was killed, for example because the machine ran out of memory"


@contextmanager
def explain_death() -> Iterator[None]:
    """Raise HarnessError with the reason if the fork server dies while a process is started."""
    try:
        yield
    except (EOFError, ConnectionError, FileNotFoundError):
        raise HarnessError(
            f"the server that starts worker processes died: {describe_death()}; "
            "--workers 0 trains in this process"
        ) from None


@contextmanager
def block_sigint() -> Iterator[None]:
    """Block SIGINT for processes started in this block: only the driver handles Ctrl-C."""
    with _safe_path():
        resource_tracker.ensure_running()  # starting it would unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@cache
def _get_lasting_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "fork-server")


def _ensure_running() -> None:
    forkserver.set_forkserver_preload([PRELOAD])
    with block_sigint(), _safe_path():
        record_driver()
        forkserver.ensure_running()


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep the current folder off the import path of interpreters started in this block."""
    before = os.environ.get(SAFE_PATH_VARIABLE)
    os.environ[SAFE_PATH_VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH_VARIABLE]
        else:
            os.environ[SAFE_PATH_VARIABLE] = before
