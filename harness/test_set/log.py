"""The log of every opening of a test set: who opened it, when, for which selection, the result.

There is one file for each test set, named after the SHA-256 of its content and stored beside the
studies. So a new study name or --fresh does not restart the count, and the openings of a deleted
study are not forgotten.

The count is of this folder. Openings from other folders are not in it, even if they use the same
tracking store: there each study's run has its own readings, and its test set in `harness.test_set`.

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
"""Hex digits of the hash in the file name."""


@dataclass(frozen=True)
class TestSetLog:
    """The log of one test set.

    Every method raises StoreError if the file cannot be read or written.
    """

    __test__ = False  # pytest would collect it as a test class

    path: Path

    @classmethod
    def for_test_set(cls, folder: Path, test_digest: str) -> TestSetLog:
        return cls(folder / f"{test_digest[:NAME_LENGTH]}.jsonl")

    def record_opening(self, selection: str, study: str, uid: str) -> int:
        """Record an opening before the test set is read; return its number, counted from 1.

        A selection that is already recorded, as after a crash, keeps its number.
        """
        with self._lock():
            selections = self.list_selections()
            if selection not in selections:
                who = f"{get_user()}@{socket.gethostname()}"
                self._append(
                    opened=selection, study=study, uid=uid, who=who, time=time.time(),
                )  # fmt: skip
                selections.append(selection)
                failpoint("ledger.opened")
        return selections.index(selection) + 1

    def record_reading(self, reading: TestReading) -> None:
        """Record a result, once for each trial."""
        with self._lock():
            record = {
                "read": reading.selection,
                "run": reading.run,
                **reading.figures,
                "examples": reading.examples,
            }
            if not any(record.items() <= line.items() for line in self.read_lines()):
                self._append(**record, time=reading.time)

    def list_selections(self) -> list[str]:
        """Return the hashes of the selections that the test set was opened for, in order."""
        opened = (str(line["opened"]) for line in self.read_lines() if "opened" in line)
        return list(dict.fromkeys(opened))

    def read_lines(self) -> list[dict[str, Any]]:
        """Return all complete lines."""
        try:
            content = self.path.read_bytes() if self.path.is_file() else b""
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read ({error.strerror})") from None
        return [json.loads(line) for line in content.splitlines() if is_line(line + b"\n")]

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Lock the file and remove an incomplete last line, which a crash may leave."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock")):
                jsonl.cut_torn_end(self.path, is_line, "restore the file from a backup")
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
    """Whether the bytes are a complete line of the log."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def get_user() -> str:
    """Return the name of the user, or the number where there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
