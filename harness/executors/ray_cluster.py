"""A Ray cluster: joined or started, counted, left."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.analysis.formatting import counted
from harness.errors import ConfigError, DeviceError
from harness.executors.devices import Demand

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}
"""No telemetry; the second is what Ray will do by itself, and warns of until then."""


REACH_SECONDS = 5.0


@dataclass(frozen=True)
class Ray:
    """Which cluster, and what of it each worker is to have."""

    address: str
    """`auto` for the one that this machine belongs to, `local` for one that is started here."""
    demand: Demand = None
    """`gpu`: a GPU for each worker, `cpu`: none, None: where there is any."""
    cpus: int = 1
    """Cores that are set aside for each worker."""
    most: int | None = None
    """Workers; None for as many as there is room for."""


@dataclass(frozen=True)
class Room:
    """What a cluster has when it is joined; nodes may join and leave later."""

    device: str
    """`cpu`, or `cuda` for its workers."""
    workers: int
    described: str


@contextmanager
def joined(wanted: Ray) -> Iterator[Room]:
    """Be a driver of the cluster while it lasts; one that is `local` ends with it.

    Raises ConfigError, DeviceError.
    """
    address = wanted.address
    os.environ |= {name: os.environ.get(name, value) for name, value in QUIET.items()}
    if address == "local":
        _own_token()
    try:
        import ray
    except ImportError:
        raise ConfigError("--ray: Ray is not installed; pip install 'harness[ray]'") from None
    if ray.is_initialized():  # by whoever calls us from Python, who has chosen the cluster
        yield _room(wanted)
        return
    if address != "local":
        _reach(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    where: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _unnamed(ray):
            ray.init(address, **where, **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        if "AuthenticationError" in f"{error} {error.__cause__}":
            raise DeviceError(
                f"--ray {address}: the cluster asks for a token; set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN in the environment to what its nodes have"
            ) from None
        said = " ".join(str(error).split()) or type(error).__name__
        raise DeviceError(
            f"--ray {address}: no cluster can be joined ({said}); start one with "
            "`ray start --head`, or give --ray local"
        ) from None
    finally:
        for each, handler in handlers.items():  # Ray takes SIGTERM for itself
            signal.signal(each, handler)
    try:
        yield _room(wanted)
    finally:
        ray.shutdown()


def _own_token() -> None:
    """For a cluster of this process alone, unless the user has one: Ray would make one for good,
    in ~/.ray, which every cluster that is started later would ask for.

    Ray looks at these once, when it is imported.
    """
    given = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if not given and "ray" not in sys.modules:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _reach(address: str) -> None:
    """Raises DeviceError where nobody listens: Ray itself would try for minutes."""
    from ray._private.services import get_ray_address_from_environment

    try:
        found: str = get_ray_address_from_environment(address, None)
    except ConnectionError:
        raise DeviceError(
            f"--ray {address}: there is no cluster on this machine; start one with `ray start "
            "--head`, join another with `ray start --address=HOST:6379`, or give --ray local"
        ) from None
    host, colon, port = found.rpartition(":")
    if "://" in found:
        return
    if not colon or not port.isdigit():
        raise DeviceError(f"--ray {found}: write HOST:PORT, such as {found.strip(':')}:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise DeviceError(
            f"--ray {address}: the cluster at {found} does not answer "
            f"({getattr(error, 'strerror', None) or error}); start it with `ray start --head` "
            "(`ray stop` clears away what is left of one), or give --ray local"
        ) from None


@contextmanager
def _unnamed(ray: Any) -> Iterator[None]:
    """Ray tells the whole cluster a driver's command line, with the passwords of its addresses."""
    utils = ray._private.utils
    before = utils.get_entrypoint_name
    utils.get_entrypoint_name = lambda: "harness"
    try:
        yield
    finally:
        utils.get_entrypoint_name = before


def _room(wanted: Ray) -> Room:
    """Raises DeviceError where there is room for nobody."""
    gpus = 0 if wanted.demand == "cpu" else workers(True, wanted.cpus)
    if wanted.demand == "gpu" and not gpus:
        raise DeviceError(f"--gpu: no node of the Ray cluster {wanted.address} has a GPU")
    found = gpus or workers(False, wanted.cpus)
    if not found:
        raise DeviceError(
            f"--cpus-per-worker {wanted.cpus}: no node of the Ray cluster {wanted.address} has so "
            "many cores; give fewer"
        )
    nodes = len(_nodes())
    what = counted(gpus, "GPU") if gpus else f"CPU, {counted(found * wanted.cpus, 'core')}"
    on = f"Ray, {counted(nodes, 'node')}, {what}"
    return Room("cuda" if gpus else "cpu", found, on)


def workers(gpu: bool, cpus: int) -> int:
    """Those that the nodes alive have room for: one a GPU, or one for so many CPU cores."""
    found = 0
    for node in _nodes():
        resources = node["Resources"]
        found += int(resources.get("GPU", 0) if gpu else resources.get("CPU", 0) // cpus)
    return found


def free(gpu: bool) -> str:
    """`0 of its 4 CPU cores are free`."""
    import ray

    name, what = ("GPU", "GPUs") if gpu else ("CPU", "CPU cores")
    have: float = ray.cluster_resources().get(name, 0)  # type: ignore[no-untyped-call]
    left: float = ray.available_resources().get(name, 0)  # type: ignore[no-untyped-call]
    return f"{left:g} of its {have:g} {what} are free"


def node_name() -> str:
    """Of the node this runs on: the name it was given in Ray, else its machine's."""
    import ray

    own = ray.get_runtime_context().get_node_id()
    for node in _nodes():
        if node["NodeID"] == own:
            named = node["NodeName"] != node["NodeManagerAddress"]
            return str(node["NodeName"] if named else node["NodeManagerHostname"])
    return own


def _nodes() -> list[dict[str, Any]]:
    """Those alive."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]
