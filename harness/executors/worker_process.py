"""The driver's side of a worker process: start it, send to it, kill it."""

from __future__ import annotations

import multiprocessing
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, TypeVar, cast

from harness.data.training_files import TrainingFiles
from harness.executors.assignment import WorkerLoad
from harness.executors.base import Setup
from harness.executors.fork_server import (
    block_sigint,
    can_fork_workers,
    explain_death,
    start_fork_server,
)
from harness.executors.parent_death import end_with_driver
from harness.trial import Trial

KILL_TIMEOUT = 3.0
"""Seconds to wait for all killed workers together to end."""
MESSAGE_TIMEOUT = 3
"""Seconds after which a message that a worker started to send counts as unfinished."""

R = TypeVar("R")


@dataclass(eq=False, kw_only=True)
class Worker(WorkerLoad):
    process: BaseProcess
    connection: Connection

    def send(self, message: Trial | tuple[str, bool]) -> None:
        # If the worker is dead, the next read gets its end of file, and the trials are lost.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)


class WorkerStarter:
    """Starts workers for one dataset; torch is imported once for all of them."""

    def __init__(self, files: TrainingFiles) -> None:
        self._files = files
        method = "forkserver" if can_fork_workers() else "spawn"
        self._context = cast("SpawnContext", multiprocessing.get_context(method))
        if method == "forkserver":
            start_fork_server()

    def call_in_process(self, function: Callable[..., R], *arguments: object) -> R | None:
        """Call a function in a new process, and return its result; None if the process dies."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_send_result, args=(theirs, function, arguments), daemon=True
        )
        with _hide_main_module(), block_sigint(), explain_death():
            process.start()
        theirs.close()
        try:
            result: R = ours.recv()
            return result
        except EOFError:
            return None
        finally:
            process.kill()
            process.join(KILL_TIMEOUT)

    def start(self, name: str, setup: Setup) -> Worker:
        ours, theirs = self._context.Pipe()
        _set_read_timeout(ours)
        process = self._context.Process(
            target=_run_worker, args=(theirs, self._files, setup, name), name=name, daemon=True
        )
        with _hide_main_module(), block_sigint(), explain_death():
            process.start()
        theirs.close()  # so that the worker's death is an end of file
        return Worker(name, setup, process=process, connection=ours)


def kill_workers(workers: Sequence[Worker]) -> None:
    """Kill workers. They have nothing to save, and a stopped process reacts to no other signal."""
    for worker in workers:
        if worker.process.is_alive():
            worker.process.kill()
    deadline = time.monotonic() + KILL_TIMEOUT
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        worker.connection.close()


def _send_result(connection: Connection, function: Callable[..., Any], arguments: Any) -> None:
    end_with_driver()
    connection.send(function(*arguments))


def _run_worker(connection: Connection, files: TrainingFiles, setup: Setup, name: str) -> None:
    """Runs in the worker process. Imports torch here, so that the driver does not."""
    end_with_driver()
    try:
        from harness.executors.worker import run_worker
    except Exception as error:  # a broken installation of torch, for example
        connection.send(f"{type(error).__name__}: {error}")
        return
    run_worker(connection, files, setup, name)


def _set_read_timeout(connection: Connection) -> None:
    """Make a read that waits too long in the middle of a message raise BlockingIOError.

    A result's weights are larger than a pipe's buffer. Without this, a worker that is stopped while
    it sends them would block the driver forever.
    """
    with socket.socket(fileno=os.dup(connection.fileno())) as pipe:
        pipe.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", MESSAGE_TIMEOUT, 0)
        )


@contextmanager
def _hide_main_module() -> Iterator[None]:
    """Keep a new process from importing the user's script again.

    multiprocessing imports __main__ in a child process, to find functions that are defined there.
    Ours are not, and a script that calls `harness.run_study` at its top level would run again.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
