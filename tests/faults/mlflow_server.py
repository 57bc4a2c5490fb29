"""A real `mlflow server` as docker-compose.yml starts it; tests may kill and restart it."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.compose import SECRETS, load_compose

DATABASE = "postgresql+psycopg://harness@postgres:5432/mlflow"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""Includes the programs of the installed packages."""


def find_free_port() -> int:
    """Return a port below those that the kernel gives to whoever asks for any, such as Ray."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port from 20000 to 32000")


def wait_for_url(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (OSError, HTTPException):  # or another process answers, while this one starts
            assert process.poll() is None, f"it ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.2)


class MlflowServer:
    """A context manager that starts the server (in 11 to 18 s) and stops it.

    It keeps everything in `folder`; its port stays the same over restarts.
    """

    def __init__(self, folder: Path, database: str = "", **environment: str) -> None:
        """`database` is a PostgreSQL address, by default SQLite; `environment` is like .env."""
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        uri = database.replace("postgresql://", "postgresql+psycopg://", 1)
        replacements = {
            DATABASE: uri or f"sqlite:///{folder}/mlflow.db",
            "/mlflow/": f"{folder}/",
            "--host=0.0.0.0": "--host=127.0.0.1",
            "--port=5000": f"--port={self.port}",
        }

        def localize(text: str) -> str:
            for original, local in replacements.items():
                text = text.replace(original, local)
            return text

        compose = load_compose(**SECRETS | environment)
        service = compose["services"]["mlflow"]
        self._command = [localize(argument) for argument in service["command"]]
        self._environment = os.environ | service["environment"] | {"PATH": PATH}
        (config,) = service["configs"]
        logins = folder / "auth.ini"
        logins.write_text(localize(compose["configs"][config["source"]]["content"]))
        self._environment["MLFLOW_AUTH_CONFIG_PATH"] = str(logins)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if wait:
            self.wait()

    def wait(self) -> None:
        assert self._process is not None
        wait_for_url(f"{self.url}/health", self._process)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, number)
            self._process.wait(30)
            self._process = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()
