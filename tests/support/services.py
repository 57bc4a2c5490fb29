"""The services of docker-compose.yml as processes of this machine, with the same commands.

with Postgres(SECRETS["POSTGRES_PASSWORD"]) as postgres, Services(folder, postgres) as services:
    services.start("ray-head")
    services.start("study", "./tiny.toml").wait()
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from tests.faults.mlflow_server import PATH, find_free_port
from tests.support.compose import SECRETS, load_compose
from tests.support.postgres import Postgres


class Services:
    """Starts services; replaces hosts by local addresses and volumes by folders in `folder`."""

    def __init__(self, folder: Path, postgres: Postgres, **environment: str) -> None:
        import ray

        self._folder, self._compose = folder, load_compose(**SECRETS, **environment)
        self.mlflow, self.dashboard, head = find_free_port(), find_free_port(), find_free_port()
        here = "127.0.0.1"
        # Not 127.0.0.1, which Ray replaces by the machine's network address.
        self.ray = f"{ray.util.get_node_ip_address()}:{head}"
        self._local_addresses = {
            "postgres:5432": f"{here}:{postgres.port}",
            "mlflow:5000": f"{here}:{self.mlflow}",
            "ray-head:6379": self.ray,
            "0.0.0.0": here,
            "--port=5000": f"--port={self.mlflow}",
            "--port=8080": f"--port={self.dashboard}",
            "--port=6379": f"--port={head}",
            "127.0.0.1:5000": f"{here}:{self.mlflow}",
            "127.0.0.1:8080": f"{here}:{self.dashboard}",
            "/etc/mlflow-auth.ini": f"{folder}/mlflow-auth.ini",
            "/mlflow/": f"{folder}/mlflow/",
        }
        (folder / "mlflow").mkdir()
        contents = {name: each["content"] for name, each in self._compose["configs"].items()}
        (folder / "mlflow-auth.ini").write_text(self._localize(contents["auth"]))
        login = SECRETS["POSTGRES_PASSWORD"]
        server = f"postgresql://harness:{login}@{here}:{postgres.port}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            # The image does this when it first starts.
            database = self._compose["services"]["postgres"]["environment"]["POSTGRES_DB"]
            connection.execute(f"CREATE DATABASE {database}")
            connection.execute(contents["databases"])
        self._running: list[tuple[str, subprocess.Popen[str]]] = []

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a service with its command, or with `arguments` after its entrypoint."""
        service = self._compose["services"][name]
        command = service["command"]
        command = shlex.split(command) if isinstance(command, str) else command
        command = [*service.get("entrypoint", ()), *(arguments or command)]
        with (self._folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                [self._localize(argument) for argument in command],
                cwd=self._folder,
                env=self.environment(name),
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self._running.append((name, process))
        return process

    def harness(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a `harness` command in the study's environment."""
        return subprocess.run(
            [sys.executable, "-m", "harness", *arguments],
            cwd=self._folder,
            env=self.environment("study") | environment,
            capture_output=True,
            text=True,
            timeout=200,
        )

    def environment(self, name: str) -> dict[str, str]:
        configured = self._compose["services"][name]["environment"]
        variables = {key: self._localize(value) for key, value in configured.items()}
        # Volumes of the containers; on this machine they may already have data.
        for key in ("HARNESS_DATA_DIR", "XDG_CACHE_HOME"):
            if key in variables and key in os.environ:
                variables[key] = os.environ[key]
        # Names of Ray's sockets are close to the limit, so its folder has a short name.
        return os.environ | variables | {"PATH": PATH, "RAY_TMPDIR": self._ray.name}

    def wait_until_healthy(self, name: str) -> None:
        """Wait until a service passes its health check."""
        program, *arguments = self._compose["services"][name]["healthcheck"]["test"][1:]
        command = [program, *(self._localize(argument) for argument in arguments)]
        environment = self.environment(name)

        def is_healthy() -> bool:
            result = subprocess.run(command, env=environment, capture_output=True, timeout=60)
            return result.returncode == 0

        self._wait_for(is_healthy, name)

    def wait_for_worker(self) -> None:
        """Wait until the last worker has joined: two that start at once slow each other down."""
        log = self._folder / "worker.log"
        started = sum(name == "worker" for name, _ in self._running)
        self._wait_for(lambda: log.read_text().count("Ray runtime started") == started, "worker")

    def _wait_for(self, is_ready: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + 200
        while not is_ready():
            assert time.monotonic() < deadline, (self._folder / f"{name}.log").read_text()[-2000:]
            self._restart_ended()
            time.sleep(0.5)

    def _restart_ended(self) -> None:
        """Restart services that ended, as Docker would."""
        for name, process in list(self._running):
            if process.poll() is not None and "restart" in self._compose["services"][name]:
                self._running.remove((name, process))
                self.start(name)

    def _localize(self, text: str) -> str:
        for place, ours in self._local_addresses.items():
            text = text.replace(place, ours)
        return text

    def __enter__(self) -> Self:
        self._ray = tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for _, process in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
        mark = f"RAY_TMPDIR={self._ray.name}".encode()
        for folder in Path("/proc").glob("[0-9]*"):  # Ray's processes outside of these groups
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
        self._ray.cleanup()
