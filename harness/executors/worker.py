"""What runs inside a worker: take a trial, train it, send its events, wait for each verdict."""

from __future__ import annotations

from collections.abc import Generator
from multiprocessing.connection import Connection

import torch

from harness.data.files import TrainingFiles
from harness.data.parts import load_splits
from harness.engine import Resident, train
from harness.errors import HarnessError
from harness.executors.base import READY, Ended, Epoch, Setup
from harness.trial import EpochMetrics, Objective, Outcome, Trial, TrialFailure, TrialSpec

Run = Generator[EpochMetrics, bool, Outcome]
"""One trial: yields each epoch's metrics, is sent whether to go on, returns the outcome."""


def start(spec: TrialSpec, data: Resident, objective: Objective) -> Run:
    """Train one spec; whatever goes wrong inside is the trial's failure, not the worker's."""
    try:
        training = train([spec], data, objective)
        _, metrics = next(training)
        while True:
            _, metrics = training.send((yield metrics))
    except StopIteration as end:
        outcome: Outcome = end.value[0]
        return outcome
    except (RuntimeError, ValueError, MemoryError) as error:
        first = (str(error).strip() or "no message").splitlines()[0]
        return TrialFailure(reason=f"{type(error).__name__}: {first}")


def serve(connection: Connection, files: TrainingFiles, setup: Setup, name: str) -> None:
    """A worker process's life: READY, then trials until it is ended or the driver is gone.

    One thread on a CPU: two workers at torch's default threads each are eight times slower.
    """
    try:
        try:
            if setup.device == "cpu":
                torch.set_num_threads(1)
            data = Resident(load_splits(files), setup.device)
        except (HarnessError, RuntimeError, AssertionError) as error:
            connection.send(f"{type(error).__name__}: {error}")
            return
        connection.send(READY)
        while True:
            _train(connection, connection.recv(), data, setup.objective, name)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver died; nobody is left to tell


def _train(
    connection: Connection, trial: Trial, data: Resident, objective: Objective, name: str
) -> None:
    run = start(trial.spec, data, objective)
    try:
        metrics = next(run)
        while True:
            connection.send(Epoch(trial.uid, name, metrics))
            metrics = run.send(connection.recv())
    except StopIteration as end:
        connection.send(Ended(trial.uid, name, end.value))
