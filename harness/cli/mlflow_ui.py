"""`harness ui`: MLflow's UI on the local record, for this machine alone."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

from harness.errors import HarnessError, StudyError, UserError, did_you_mean, masked
from harness.system.signals import interruptible
from harness.tracking.mlflow import saved_view
from harness.workspace import Workspace

START_SECONDS = 90
PORT = 5151
"""Tried first: a browser keeps what was set in MLflow's UI (a panel closed, dark) by address."""
QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
"""Whatever the user's own environment says: nothing is run for others, nothing told to them."""


def serve(home: Workspace, tracking_uri: str | None, name: str | None, port: int | None) -> None:
    """Run MLflow's server until Ctrl-C; print the address of the study's view once it answers.

    Where the record is on a server already, its address is printed and nothing is started.
    """
    uri = home.tracking_uri(tracking_uri)
    found = home.open_tracker(uri, reading=True).experiments()
    if name is not None and name not in found:
        raise StudyError(f"no study '{name}' in {home.shown(uri)}{did_you_mean(name, found)}")
    experiment = found[name] if name is not None else next(iter(found.values()), None)
    path = saved_view.address(experiment) if experiment else ""
    if uri.startswith("http"):
        print(masked(uri).rstrip("/") + path)
        return
    if port is None:
        port = _free_port()
    elif not 1 <= port <= 65535:
        raise UserError(f"--port {port}: a port is a number from 1 to 65535")
    elif why := _refused(port):
        raise UserError(f"--port {port}: cannot be had ({why}); leave it out, or give another")
    from harness.tracking.mlflow.error_mapping import without_secrets

    base = f"http://127.0.0.1:{port}"
    print("starting MLflow's server, which takes 10 to 20 s ...", file=sys.stderr)
    with interruptible() as stop, tempfile.TemporaryFile("w+") as said:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server"),
                *("--default-artifact-root", str(home.root.resolve() / "artifacts")),
                *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            ],
            # The address in the environment, which only we may read: it may hold a password.
            env=os.environ | QUIET | {"MLFLOW_BACKEND_STORE_URI": uri},
            umask=0o077,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,  # Ctrl-C reaches us alone; we end all of its processes
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    said.seek(0)
                    last = said.read().strip().splitlines()[-1:] or ["it did not answer"]
                    why = without_secrets(last[0], uri)
                    raise HarnessError(f"MLflow's server did not start on {base}: {why}")
                if stop.requested:
                    return
                time.sleep(0.2)
            print(f"{base}{path}\nCtrl-C stops it", flush=True)
            while not stop.requested and server.poll() is None:
                time.sleep(0.2)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGTERM)
                try:
                    server.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(server.pid, signal.SIGKILL)
                    server.wait()


def _free_port() -> int:
    if not _refused(PORT):
        return PORT
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _refused(port: int) -> str:
    """Why nobody can listen there, whatever it is that does: an HTTP server or one that is mute."""
    with socket.socket() as probe:
        # Without this a port counts as taken for a minute after a server on it has ended.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _answers(port: int) -> bool:
    """Asked directly, past any proxy."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        connection.getresponse()
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
