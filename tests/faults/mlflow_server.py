"""A real `mlflow server` as docker-compose.yml starts it, to be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.compose import SECRETS, composed

DATABASE = "postgresql+psycopg://harness@postgres:5432/mlflow"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""With the programs that our packages bring."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until it answers there."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            assert process.poll() is None, f"it ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.2)


class Server:
    """Keeps everything in `folder`; the port stays the same from start to start.

    A context manager: started when it is entered (in 11 to 18 s), stopped when it is left.
    """

    def __init__(self, folder: Path, database: str = "", **filled_in: str) -> None:
        """`database` is an address of PostgreSQL, by default there is SQLite in its place;
        `filled_in` is what .env would hold."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        own = database.replace("postgresql://", "postgresql+psycopg://", 1)
        places = {
            DATABASE: own or f"sqlite:///{folder}/mlflow.db",
            "/mlflow/": f"{folder}/",
            "--host=0.0.0.0": "--host=127.0.0.1",
            "--port=5000": f"--port={self.port}",
        }

        def here(text: str) -> str:
            for place, ours in places.items():
                text = text.replace(place, ours)
            return text

        parts = composed(**SECRETS | filled_in)
        service = parts["services"]["mlflow"]
        self._command = [here(argument) for argument in service["command"]]
        self._environment = os.environ | service["environment"] | {"PATH": PATH}
        (config,) = service["configs"]
        logins = folder / "auth.ini"
        logins.write_text(here(parts["configs"][config["source"]]["content"]))
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
        wait_for(f"{self.url}/health", self._process)

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
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()
