"""A real Ray cluster of several nodes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.executors.ray_cluster import QUIET, Ray, joined


@contextmanager
def cluster(cpus: int = 1, nodes: int = 2) -> Iterator[Any]:
    """Nodes named `node 0`, `node 1`, ... of so many cores; a driver of it while it lasts."""
    import os

    os.environ |= QUIET
    from ray.cluster_utils import Cluster

    made = Cluster()
    try:
        for number in range(nodes):
            made.add_node(num_cpus=cpus, node_name=f"node {number}", include_dashboard=False)
        with joined(Ray(made.address)):
            yield made
    finally:
        made.shutdown()
