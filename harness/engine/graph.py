"""A step captured once as a CUDA graph and replayed: one launch instead of a hundred."""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UPS = 3
"""Steps before the capture, in which libraries allocate their workspaces."""


def captured(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """What replays `step` on a CUDA device.

    The step is run a few times first: call this before its members are loaded. It must neither
    wait for the device nor look at a value, and keep every input and output in the same place.
    """
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            step()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    return graph.replay
