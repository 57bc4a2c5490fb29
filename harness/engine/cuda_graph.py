"""Capture a training step as a CUDA graph, to replay it with one launch instead of a hundred."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

WARM_UPS = 3
"""Steps run before the capture, in which libraries allocate their workspaces."""


def capture_graph(
    step: Callable[[], None], warm_up: Callable[[], None], device: torch.device
) -> Callable[[], None]:
    """Capture `step` on a CUDA device and return a function that replays it.

    `warm_up` runs a few times before and must do what the step does. Call this before trials are
    loaded, with valid indices. The step must not wait for the device or read a value from it, and
    must keep every input and output at the same address.
    """
    stream, current = _side_stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            warm_up()
    current.wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    return graph.replay


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Return one stream for all captures: cuBLAS keeps a workspace for each stream."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
