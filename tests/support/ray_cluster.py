"""A real Ray cluster of several nodes on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.executors.ray_cluster import ENVIRONMENT, RayOptions, join_cluster


@contextmanager
def start_cluster(cpus: int = 1, nodes: int = 2) -> Iterator[Any]:
    """Start nodes named `node 0`, `node 1`, ... with `cpus` cores each, and join them."""
    os.environ |= ENVIRONMENT  # read when Ray is imported
    import ray
    from ray.cluster_utils import Cluster

    assert not ray.is_initialized(), "this process is on another cluster, and would stay there"
    started = Cluster()
    try:
        for number in range(nodes):
            started.add_node(num_cpus=cpus, node_name=f"node {number}", include_dashboard=False)
        with join_cluster(RayOptions(started.address)):
            yield started
    finally:
        started.shutdown()
