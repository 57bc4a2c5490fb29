"""A step captured once as a CUDA graph and replayed: one launch instead of a hundred."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

WARM_UPS = 3
"""Steps before the capture, in which libraries allocate their workspaces."""


def captured(
    step: Callable[[], None], warm_up: Callable[[], None], device: torch.device
) -> Callable[[], None]:
    """What replays `step` on a CUDA device.

    `warm_up` is run a few times first and must do what the step does: call this before the members
    are loaded, with indices that are valid. The step must neither wait for the device nor look at a
    value, and keep every input and output in the same place.
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
    """One for all captures: cuBLAS keeps a workspace for each stream."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
