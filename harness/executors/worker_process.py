"""A worker process as the driver sees it: how it starts, what it owes, how it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, TypeVar, cast

from harness.data.prepare import TrainingFiles
from harness.executors.assignment import WorkerLoad
from harness.executors.base import Setup
from harness.executors.parent_death import name_driver, tie_to_driver
from harness.trial import Trial

GONE_AFTER = 3.0
"""Seconds that the kernel is given to clear killed workers away, all of them together."""
MESSAGE_SECONDS = 3
"""A worker that stops so long in the middle of a message will not end it."""

Answer = TypeVar("Answer")


@dataclass(eq=False, kw_only=True)
class Worker(WorkerLoad):
    process: BaseProcess
    connection: Connection

    def send(self, message: Trial | tuple[str, bool]) -> None:
        # Where the worker is dead, the next read finds its end of file and reports the trial lost.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)


class Starter:
    """Starts workers on one data set; torch is imported once for all of them."""

    def __init__(self, files: TrainingFiles) -> None:
        self._files = files
        # Forking after torch was imported is not safe on macOS.
        method = "spawn" if sys.platform == "darwin" else "forkserver"
        self._context = cast("SpawnContext", multiprocessing.get_context(method))
        if method == "forkserver":
            self._context.set_forkserver_preload(["harness.executors.forkserver_preload"])
            with _sigint_blocked():
                name_driver()
                forkserver.ensure_running()  # returns at once; torch is imported meanwhile

    def ask(self, function: Callable[..., Answer], *arguments: object) -> Answer | None:
        """What a function returns in a process of its own; None where that dies."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_answer, args=(theirs, function, arguments), daemon=True
        )
        with _empty_main(), _sigint_blocked():
            process.start()
        theirs.close()
        try:
            answer: Answer = ours.recv()
            return answer
        except EOFError:
            return None
        finally:
            process.kill()
            process.join(GONE_AFTER)

    def start(self, name: str, setup: Setup) -> Worker:
        ours, theirs = self._context.Pipe()
        _limit_reads(ours)
        process = self._context.Process(
            target=_serve, args=(theirs, self._files, setup, name), name=name, daemon=True
        )
        with _empty_main(), _sigint_blocked():
            process.start()
        theirs.close()  # so that the worker's death is this pipe's end of file
        return Worker(name, setup, process=process, connection=ours)


def end(workers: Sequence[Worker]) -> None:
    """Kill them: they hold nothing that is worth a goodbye, and a stopped one hears no other."""
    for worker in workers:
        if worker.process.is_alive():
            worker.process.kill()
    deadline = time.monotonic() + GONE_AFTER
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        worker.connection.close()


def _answer(connection: Connection, function: Callable[..., Any], arguments: Any) -> None:
    tie_to_driver()
    connection.send(function(*arguments))


def _serve(connection: Connection, files: TrainingFiles, setup: Setup, name: str) -> None:
    """Runs in the worker; the import is here so that the driver does without torch."""
    tie_to_driver()
    from harness.executors.worker import serve

    serve(connection, files, setup, name)


def _limit_reads(connection: Connection) -> None:
    """Have a read that waits too long within a message raise BlockingIOError.

    A result's weights are more than a pipe holds at once: a worker that is stopped while it sends
    them would keep the driver in its read for ever.
    """
    with socket.socket(fileno=os.dup(connection.fileno())) as pipe:
        pipe.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", MESSAGE_SECONDS, 0)
        )


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Ctrl-C is the driver's to handle: what starts in here inherits the mask and never sees it."""
    resource_tracker.ensure_running()  # starting it would unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _empty_main() -> Iterator[None]:
    """Keep a starting process from importing the user's script again.

    multiprocessing re-imports __main__ in a child, to find functions defined there. Ours are not,
    and a script that calls `harness.run_study` at its top level would start itself over.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
