"""Every opening of a test set: who opened it, when, for which selection, and what it showed.

One file a test set, named after the SHA-256 of its content, beside the record. So neither another
study's name nor --fresh begins to count anew, and no opening is forgotten because its study is.

<mlruns>/test-sets/<hash>.jsonl   a line before each opening, a line for each result
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.errors import StoreError
from harness.system import jsonl
from harness.system.failpoints import failpoint
from harness.tracking.types import TestReading

NAME_LENGTH = 16
"""Hex digits of the hash in the file's name."""


@dataclass(frozen=True)
class TestSetLog:
    """Of one test set. Every method raises StoreError where the file cannot be read or written."""

    __test__ = False  # pytest would collect it as a test class

    path: Path

    @classmethod
    def for_test_set(cls, folder: Path, test_digest: str) -> TestSetLog:
        return cls(folder / f"{test_digest[:NAME_LENGTH]}.jsonl")

    def record_opening(self, selection: str, study: str, uid: str) -> int:
        """Write an opening down, before the test set is read; which one it is, counted from 1.

        For a selection that is there already, after a crash, it is the same one.
        """
        with self._lock():
            known = self.list_selections()
            if selection not in known:
                who = f"{_get_user()}@{socket.gethostname()}"
                self._append(
                    opened=selection, study=study, uid=uid, who=who, time=time.time(),
                )  # fmt: skip
                known.append(selection)
                failpoint("ledger.opened")
        return known.index(selection) + 1

    def record_reading(self, reading: TestReading) -> None:
        """Write a result down, once for each trial."""
        with self._lock():
            told = {
                "read": reading.selection,
                "run": reading.run,
                **reading.figures,
                "examples": reading.examples,
            }
            if not any(told.items() <= line.items() for line in self.read_lines()):
                self._append(**told, time=reading.time)

    def list_selections(self) -> list[str]:
        """The hashes of what it was opened for, in order."""
        opened = (str(line["opened"]) for line in self.read_lines() if "opened" in line)
        return list(dict.fromkeys(opened))

    def read_lines(self) -> list[dict[str, Any]]:
        try:
            content = self.path.read_bytes() if self.path.is_file() else b""
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read ({error.strerror})") from None
        return [json.loads(line) for line in content.splitlines() if is_line(line + b"\n")]

    @contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock")):
                jsonl.cut_torn_end(self.path, is_line, "restore the file from a copy")
                yield
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise StoreError(f"{self.path}: cannot be written ({why})") from None

    def _append(self, **values: Any) -> None:
        with self.path.open("ab") as stream:
            stream.write(json.dumps(values).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())


def is_line(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _get_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
