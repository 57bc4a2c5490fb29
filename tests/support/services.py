"""The services of docker-compose.yml as processes on this machine, by their own commands.

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

from tests.faults.mlflow_server import PATH, free_port
from tests.support.compose import SECRETS, composed
from tests.support.postgres import Postgres


class Services:
    """Hosts become addresses here, ports free ones, volumes folders in `folder`."""

    def __init__(self, folder: Path, postgres: Postgres, **filled_in: str) -> None:
        import ray

        self._folder, self._parts = folder, composed(**SECRETS, **filled_in)
        self.mlflow, self.dashboard, head = free_port(), free_port(), free_port()
        here = "127.0.0.1"
        # Not 127.0.0.1: Ray takes this machine's own address for it.
        self.ray = f"{ray.util.get_node_ip_address()}:{head}"
        self._places = {
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
        contents = {name: each["content"] for name, each in self._parts["configs"].items()}
        (folder / "mlflow-auth.ini").write_text(self._here(contents["auth"]))
        login = SECRETS["POSTGRES_PASSWORD"]
        server = f"postgresql://harness:{login}@{here}:{postgres.port}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            # As the image does at its first start.
            made = self._parts["services"]["postgres"]["environment"]["POSTGRES_DB"]
            connection.execute(f"CREATE DATABASE {made}")
            connection.execute(contents["databases"])
        self._running: list[tuple[str, subprocess.Popen[str]]] = []

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Its command, or its entrypoint with these arguments in the place of the command."""
        service = self._parts["services"][name]
        command = service["command"]
        command = shlex.split(command) if isinstance(command, str) else command
        command = [*service.get("entrypoint", ()), *(arguments or command)]
        with (self._folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                [self._here(argument) for argument in command],
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
        """Another command where the study was run."""
        return subprocess.run(
            [sys.executable, "-m", "harness", *arguments],
            cwd=self._folder,
            env=self.environment("study") | environment,
            capture_output=True,
            text=True,
            timeout=200,
        )

    def environment(self, name: str) -> dict[str, str]:
        given = self._parts["services"][name]["environment"]
        own = {key: self._here(value) for key, value in given.items()}
        kept = ("HARNESS_DATA_DIR", "XDG_CACHE_HOME")  # volumes; here they may be full already
        own |= {key: os.environ[key] for key in kept if key in own and key in os.environ}
        # Ray's sockets have the longest names there may be.
        return os.environ | own | {"PATH": PATH, "RAY_TMPDIR": self._ray.name}

    def wait_until_healthy(self, name: str) -> None:
        """By its own health check."""
        program, *arguments = self._parts["services"][name]["healthcheck"]["test"][1:]
        command = [program, *(self._here(argument) for argument in arguments)]
        environment = self.environment(name)

        def healthy() -> bool:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=60)
            return done.returncode == 0

        self._wait_for(healthy, name)

    def wait_for_worker(self) -> None:
        """Until the last that was started has joined: two at once take each other's time."""
        log = self._folder / "worker.log"
        started = sum(name == "worker" for name, _ in self._running)
        self._wait_for(lambda: log.read_text().count("Ray runtime started") == started, "worker")

    def _wait_for(self, true: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + 200
        while not true():
            assert time.monotonic() < deadline, (self._folder / f"{name}.log").read_text()[-2000:]
            self._restart()
            time.sleep(0.5)

    def _restart(self) -> None:
        """What has ended, as the engine would."""
        for name, process in list(self._running):
            if process.poll() is not None and "restart" in self._parts["services"][name]:
                self._running.remove((name, process))
                self.start(name)

    def _here(self, text: str) -> str:
        for place, ours in self._places.items():
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
        for folder in Path("/proc").glob("[0-9]*"):  # what Ray started outside of these groups
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
        self._ray.cleanup()
