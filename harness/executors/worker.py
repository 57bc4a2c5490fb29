"""What runs inside a worker process: take trials, train them, send events, hear verdicts."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from multiprocessing.connection import Connection

import torch

from harness.data.prepare import TrainingFiles
from harness.data.torch_datasets import load_splits
from harness.engine.device_data import DeviceData
from harness.engine.trainer import Trainer
from harness.errors import HarnessError
from harness.executors.base import LEAVING, READY, Ended, Setup
from harness.executors.trial_runner import TrialRunner
from harness.trial import Trial

M_MXFAST, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = 1, -1, -3  # from glibc's malloc.h
REFILL_SECONDS = 0.005
"""After a trial ended, the next epoch waits so long for another to take its slot."""


def serve(connection: Connection, files: TrainingFiles, setup: Setup, name: str) -> None:
    """A worker process's life: READY, then trials until it is ended or the driver is gone.

    One thread on a CPU: two workers at torch's default threads each are eight times slower.
    """
    try:
        try:
            if setup.device == "cpu":
                torch.set_num_threads(1)
                _keep_freed_memory()
            else:
                torch.cuda.set_device(setup.device)
            data = DeviceData(load_splits(files), setup.device)
        except (HarnessError, RuntimeError, AssertionError) as error:
            connection.send(f"{type(error).__name__}: {error}")
            return
        connection.send(READY)
        population = Trainer(data, setup.objective, perturbation=setup.perturbation)
        _train(connection, TrialRunner(population, name))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver died; nobody is left to tell


def _train(connection: Connection, workbench: TrialRunner) -> None:
    patience = 0.0
    while True:
        while not workbench.busy or connection.poll(patience):
            message = connection.recv()
            if isinstance(message, Trial):
                workbench.submit(message)
            else:
                workbench.answer(*message)
        patience = 0.0
        for events in workbench.step():
            if workbench.broken:
                connection.send(LEAVING)
            for event in events:
                connection.send(event)
                if isinstance(event, Ended):
                    patience = REFILL_SECONDS
        if workbench.broken:
            return  # the executor starts another in its place


def _keep_freed_memory() -> None:
    """Ask glibc, where it is glibc, to keep what a step frees for the next.

    A step of a wide network takes and frees some megabytes. Handed back to the kernel in between,
    they come back as page faults, hundreds a step: up to a quarter of its time.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MXFAST, 0)  # nothing small to merge with what is freed
        mallopt(M_TRIM_THRESHOLD, 2**30)
        mallopt(M_MMAP_THRESHOLD, 2**30) or mallopt(M_MMAP_THRESHOLD, 2**25)  # older glibc's most
