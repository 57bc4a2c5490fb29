"""How long a network takes to predict, measured on one core of this machine."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

MEASURED_SECONDS, MIN_REPEATS, MAX_REPEATS = 0.2, 3, 200
"""How long, and how often, the time of a batch is measured."""


@torch.inference_mode()
def time_batches(model: nn.Module, *batches: Tensor) -> list[float]:
    """Return the seconds of a prediction of each batch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine, threads wait for each other
    try:
        return [_time_batch(model, batch) for batch in batches]
    finally:
        torch.set_num_threads(threads)


def _time_batch(model: nn.Module, batch: Tensor) -> float:
    """Return the seconds of a call: the shortest of many, as other work only makes it longer."""
    times: list[float] = []
    while len(times) < MIN_REPEATS or (sum(times) < MEASURED_SECONDS and len(times) < MAX_REPEATS):
        start = time.perf_counter()
        model(batch)
        times.append(time.perf_counter() - start)
    return min(times)
