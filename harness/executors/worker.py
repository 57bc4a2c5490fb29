"""The main loop of a worker process: receive trials, train them, send events, receive answers."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from multiprocessing.connection import Connection

import torch

from harness.data.training_files import TrainingFiles
from harness.executors.base import LEAVING, READY, Setup, TrialEnded
from harness.executors.trainer_pool import TrainerPool
from harness.executors.trial_runner import TrialRunner
from harness.trial import Trial

M_MXFAST, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = 1, -1, -3  # from glibc's malloc.h
REFILL_SECONDS = 0.005
"""After a trial ended, the next epoch waits this long for another trial to take its slot."""


def run_worker(connection: Connection, files: TrainingFiles, setup: Setup, name: str) -> None:
    """Run a worker process: send READY, then train trials until it is killed or the driver ends.

    A CPU worker uses one thread: two workers with torch's default threads are eight times slower.
    """
    try:
        try:
            if setup.device == "cpu":
                torch.set_num_threads(1)
                _keep_freed_memory()
            else:
                torch.cuda.set_device(setup.device)
            runner = TrialRunner(TrainerPool(files, setup), name)
        except Exception as error:  # the driver shows why a worker cannot start
            connection.send(f"{type(error).__name__}: {error}")
            return
        connection.send(READY)
        _train_trials(connection, runner)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver died


def _train_trials(connection: Connection, runner: TrialRunner) -> None:
    poll_timeout = 0.0
    while True:
        while not runner.is_busy or connection.poll(poll_timeout):
            message = connection.recv()
            if isinstance(message, Trial):
                runner.submit(message)
            else:
                runner.answer(*message)
        poll_timeout = 0.0
        for events in runner.step():
            if runner.is_broken:
                connection.send(LEAVING)
            for event in events:
                connection.send(event)
                if isinstance(event, TrialEnded):
                    poll_timeout = REFILL_SECONDS
        if runner.is_broken:
            return  # the executor replaces this worker


def _keep_freed_memory() -> None:
    """Have glibc keep the memory that a training step frees, for the next step.

    A step of a wide network allocates and frees some megabytes. If they go back to the kernel in
    between, page faults take up to a quarter of the step's time.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MXFAST, 0)  # no small blocks that would be merged with freed ones
        mallopt(M_TRIM_THRESHOLD, 2**30)
        mallopt(M_MMAP_THRESHOLD, 2**30) or mallopt(
            M_MMAP_THRESHOLD, 2**25
        )  # the maximum of an older glibc
