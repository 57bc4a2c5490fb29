"""`harness ui`: serve MLflow's UI on the local record, for this machine only."""

from __future__ import annotations

import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.errors import (
    LIST_STUDIES,
    HarnessError,
    StudyError,
    UserError,
    did_you_mean,
    mask_credentials,
)
from harness.system.signals import graceful_shutdown
from harness.tracking.mlflow import saved_view, ui_app
from harness.workspace import Workspace

START_SECONDS = 90
DEFAULT_PORT = 5151
"""Tried first, because a browser stores the settings of MLflow's UI by address."""
ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "PYTHONSAFEPATH": "1",
    "UVICORN_APP_DIR": str(Path(__file__).parents[2]),
}
"""Overrides the user's environment: no jobs, no telemetry, no imports from the current folder."""

SERVER_VARIABLES = {
    "MLFLOW_ARTIFACTS_DESTINATION",
    "MLFLOW_ARTIFACTS_ONLY",
    "MLFLOW_DISABLE_SECURITY_MIDDLEWARE",
    "MLFLOW_ENABLE_WORKSPACES",
    "MLFLOW_EXPOSE_PROMETHEUS",
    "MLFLOW_GUNICORN_OPTS",
    "MLFLOW_READ_REPLICA_BACKEND_STORE_URI",
    "MLFLOW_REGISTRY_STORE_URI",
    "MLFLOW_SERVE_ARTIFACTS",
    "MLFLOW_SERVER_ALLOWED_HOSTS",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
    "MLFLOW_SERVER_X_FRAME_OPTIONS",
    "MLFLOW_STATIC_PREFIX",
    "MLFLOW_UVICORN_OPTS",
    "MLFLOW_WAITRESS_OPTS",
    "MLFLOW_WORKSPACE_STORE_URI",
}
"""Options of `mlflow server` that the user may have set for another server."""


def serve(
    workspace: Workspace, tracking_uri: str | None, name: str | None, port: int | None
) -> None:
    """Run MLflow's server until Ctrl-C, and print the address of the study's view once it answers.

    If the store is a server already, only its address is printed.
    """
    uri = workspace.resolve_tracking_uri(tracking_uri)
    experiments = workspace.open_tracker(uri, reading=True).list_experiments()
    if name is not None and name not in experiments:
        raise StudyError(
            f"no study '{name}' in {workspace.format_uri(uri)}"
            f"{did_you_mean(name, experiments, LIST_STUDIES)}"
        )
    experiment = experiments[name] if name is not None else next(iter(experiments.values()), None)
    path = saved_view.view_path(experiment) if experiment else ""
    if uri.startswith("http"):
        print(mask_credentials(uri).rstrip("/") + path)
        return
    if port is None:
        port = _choose_port()
    elif not 1 <= port <= 65535:
        raise UserError(f"--port {port}: a port is a number from 1 to 65535")
    elif problem := _find_port_problem(port):
        raise UserError(f"port {port} {problem}; choose another with --port")
    from harness.tracking.mlflow.error_mapping import mask_secrets

    base = f"http://127.0.0.1:{port}"
    print("starting MLflow's server (10 to 20 s) ...", file=sys.stderr)
    with graceful_shutdown() as stop, tempfile.TemporaryFile("w+") as errors:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server"),
                *("--default-artifact-root", workspace.artifacts.as_uri()),
                *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
                *ui_app.list_server_options(),
            ],
            # In the environment, not on the command line, because it may contain a password.
            env=_build_environment(uri),
            umask=0o077,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # Ctrl-C reaches only this process, which ends all of them
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _is_answering(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    errors.seek(0)
                    last = errors.read().strip().splitlines()[-1:] or ["it did not answer"]
                    reason = mask_secrets(last[0], uri)
                    raise HarnessError(f"MLflow's server did not start on {base}: {reason}")
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


def _build_environment(uri: str) -> dict[str, str]:
    """Return the server's environment, without variables that would make it another server."""
    user = {name: value for name, value in os.environ.items() if name not in SERVER_VARIABLES}
    return user | ENVIRONMENT | {"MLFLOW_BACKEND_STORE_URI": uri}


def _choose_port() -> int:
    if not _find_port_problem(DEFAULT_PORT):
        return DEFAULT_PORT
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _find_port_problem(port: int) -> str:
    """Return why a server cannot listen on the port, as a predicate; empty if it can."""
    with socket.socket() as probe:
        # Without this option a port stays in use for a minute after a server on it has ended.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is in use"
            return f"cannot be used ({error.strerror or error})"
    return ""


def _is_answering(port: int) -> bool:
    """Whether the server answers; asked directly, past any proxy."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        connection.getresponse()
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
