"""A Ray cluster: join or start it, and count its devices."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analysis.formatting import format_count
from harness.errors import ConfigError, DeviceError
from harness.executors.devices import DeviceOption

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}
"""Defaults for Ray: no telemetry; the second is Ray's future default, about which it warns."""
PACKAGE_FOLDER = Path(__file__).parents[2]
"""The current folder while Ray starts: Ray puts it first on the import path of its workers."""
CONNECT_TIMEOUT = 5.0
"""Seconds."""


@dataclass(frozen=True)
class RayOptions:
    """Which cluster to use, and what each worker gets of it."""

    address: str
    """`auto`: the cluster that this machine belongs to; `local`: start one here."""
    device: DeviceOption = None
    """`gpu`: a GPU for each worker; `cpu`: none; None: a GPU if the cluster has any."""
    cpus: int = 1
    """CPU cores for each worker."""
    max_workers: int | None = None
    """Most workers; None for as many as the cluster has room for."""


@dataclass(frozen=True)
class ClusterDevices:
    """A cluster's devices when we join it; nodes may be added or lost later."""

    device: str
    """`cpu` or `cuda`, for all workers."""
    workers: int
    description: str


@contextmanager
def join_cluster(options: RayOptions) -> Iterator[ClusterDevices]:
    """Join the cluster for the block; a `local` cluster ends with it.

    Raises:
        ConfigError: Ray is not installed.
        DeviceError: there is no such cluster, or it has no room for a worker.
    """
    address = options.address
    os.environ |= {name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()}
    if address == "local":
        _set_private_token()
    try:
        import ray
    except ImportError:
        raise ConfigError("--ray: Ray is not installed; pip install 'harness-sweep[ray]'") from None
    if ray.is_initialized():  # by a Python program that uses this package, and chose the cluster
        yield _find_devices(options)
        return
    if address != "local":
        _check_address(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    where: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _hide_command_line(ray), chdir(PACKAGE_FOLDER):
            ray.init(address, **where, **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        if "AuthenticationError" in f"{error} {error.__cause__}":
            raise DeviceError(
                f"--ray {address}: the cluster requires a token; set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN in the environment as on its nodes"
            ) from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DeviceError(
            f"--ray {address}: cannot join a cluster ({reason}); start one with "
            "`ray start --head`, or use --ray local"
        ) from None
    finally:
        for number, handler in handlers.items():  # Ray replaces SIGTERM's
            signal.signal(number, handler)
    try:
        yield _find_devices(options)
    finally:
        ray.shutdown()


def _set_private_token() -> None:
    """Set a random token for a local cluster, unless the user has set one.

    Otherwise Ray would create a permanent token in ~/.ray, which every later cluster would require.
    Ray reads these variables when it is imported.
    """
    settings = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if not settings and "ray" not in sys.modules:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _check_address(address: str) -> None:
    """Raise DeviceError at once if nobody listens at the address: Ray would try for minutes."""
    from ray._private.services import get_ray_address_from_environment

    try:
        resolved: str = get_ray_address_from_environment(address, None)
    except ConnectionError:
        raise DeviceError(
            f"--ray {address}: there is no cluster on this machine; start one with `ray start "
            "--head`, join another with `ray start --address=HOST:6379`, or use --ray local"
        ) from None
    host, colon, port = resolved.rpartition(":")
    if "://" in resolved:
        return
    if not colon or not port.isdigit():
        raise DeviceError(f"--ray {resolved}: write HOST:PORT, such as {resolved.strip(':')}:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise DeviceError(
            f"--ray {address}: the cluster at {resolved} does not answer "
            f"({getattr(error, 'strerror', None) or error}); start it with `ray start --head` "
            "(after `ray stop` if parts of it still run), or use --ray local"
        ) from None


@contextmanager
def _hide_command_line(ray: Any) -> Iterator[None]:
    """Ray shows a driver's command line to the whole cluster, with any passwords in it."""
    utils = ray._private.utils
    before = utils.get_entrypoint_name
    utils.get_entrypoint_name = lambda: "harness"
    try:
        yield
    finally:
        utils.get_entrypoint_name = before


def _find_devices(options: RayOptions) -> ClusterDevices:
    """Raise DeviceError if the cluster has no room for a worker."""
    gpus = 0 if options.device == "cpu" else count_workers(True, options.cpus)
    if options.device == "gpu" and not gpus:
        raise DeviceError(f"--gpu: no node of the Ray cluster {options.address} has a GPU")
    workers = gpus or count_workers(False, options.cpus)
    if not workers:
        raise DeviceError(
            f"--cpus-per-worker {options.cpus}: no node of the Ray cluster {options.address} has "
            "so many cores; use fewer"
        )
    nodes = len(_list_live_nodes())
    devices = (
        format_count(gpus, "GPU")
        if gpus
        else f"CPU, {format_count(workers * options.cpus, 'core')}"
    )
    description = f"Ray, {format_count(nodes, 'node')}, {devices}"
    return ClusterDevices("cuda" if gpus else "cpu", workers, description)


def count_workers(gpu: bool, cpus: int) -> int:
    """Count the workers that the live nodes have room for: one per GPU, or per `cpus` cores."""
    workers = 0
    for node in _list_live_nodes():
        resources = node["Resources"]
        workers += int(resources.get("GPU", 0) if gpu else resources.get("CPU", 0) // cpus)
    return workers


def describe_free(gpu: bool) -> str:
    """Describe the free devices: "0 of its 4 CPU cores are free"."""
    import ray

    name, plural = ("GPU", "GPUs") if gpu else ("CPU", "CPU cores")
    total: float = ray.cluster_resources().get(name, 0)  # type: ignore[no-untyped-call]
    unused: float = ray.available_resources().get(name, 0)  # type: ignore[no-untyped-call]
    return f"{unused:g} of its {total:g} {plural} are free"


def get_node_name() -> str:
    """Return the name of the node that runs this code: its name in Ray, or its machine's."""
    import ray

    node_id = ray.get_runtime_context().get_node_id()
    for node in _list_live_nodes():
        if node["NodeID"] == node_id:
            has_name = node["NodeName"] != node["NodeManagerAddress"]
            return str(node["NodeName"] if has_name else node["NodeManagerHostname"])
    return node_id


def _list_live_nodes() -> list[dict[str, Any]]:
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]
