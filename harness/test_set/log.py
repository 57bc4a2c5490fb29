"""The log of every opening of a test set: who opened it, when, for which selection, the result.

There is one file for each test set, named after the SHA-256 of its content and stored beside the
studies. So a new study name or --fresh does not restart the count, and the openings of a deleted
study are not forgotten.

Two test sets may have examples in common, as after another split of the same data. So a line also
names the examples of the test set and of the training set (`harness.test_set.example_files`), and
an opening is compared with all earlier ones of the folder, whichever file they are in.

Each line has the start of the SHA-256 of the line before it. So a line that was removed or changed
later is noticed, by `harness doctor`.

The count is of this folder. Openings from other folders are not in it, even if they use the same
tracking store: there each study's run has its own readings, and its test set in `harness.test_set`.

<mlruns>/test-sets/<hash>.jsonl   a line before each opening, a line for each result
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.errors import StoreError
from harness.system import jsonl
from harness.system.failpoints import failpoint
from harness.test_set.example_files import store_examples
from harness.test_set.overlap import (
    DatasetParts,
    EarlierSplit,
    count_repeated,
    describe_overlaps,
    find_overlaps,
)
from harness.tracking.test_reading import TestReading

NAME_LENGTH = 16
"""Hex digits of the hash in the file name."""
LINE_HASH_LENGTH = 16
LOCK_FILE = "openings.lock"
"""Locks all logs of a folder: an opening is compared with those of every log."""
DEFAULT_FOLDER = Path("mlruns") / "test-sets"
"""The folder of the logs, for callers without a workspace."""


@dataclass(frozen=True)
class Opening:
    """An opening as it was recorded."""

    look: int
    """Its number, counted from 1, over all openings of test sets with these examples."""
    overlap: tuple[str, ...] = ()
    """What was seen of the examples before, in sentences."""


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

    def record_opening(
        self,
        selection: str,
        study: str,
        uid: str,
        *,
        parts: DatasetParts | None = None,
        key: str = "",
    ) -> Opening:
        """Record an opening, and the key of the labels, before the labels are read.

        A selection that is already recorded, as after a crash, keeps its number. Without `parts`,
        the examples are not compared with those of other test sets.
        """
        with self._lock():
            if (earlier := self.find_opening(selection)) is not None:
                self._append(reopened=selection, who=_identify_user(), time=time.time())
                return earlier
            lines = self.read_lines()
            look, sentences = 1 + _count_openings(lines), tuple[str, ...]()
            values: dict[str, Any] = {}
            if parts is not None:
                overlaps = find_overlaps(parts, self._list_splits(uid), self.path.parent)
                look += count_repeated([o for o in overlaps if o.split.log != self.path.stem])
                sentences = describe_overlaps(overlaps)
                values = self._store_parts(parts)
            self._append(
                opened=selection,
                study=study,
                uid=uid,
                who=_identify_user(),
                time=time.time(),
                look=look,
                overlap=sentences,
                **values,
                key=key,
            )
            failpoint("ledger.opened")
        return Opening(look, sentences)

    def record_training(self, study: str, uid: str, parts: DatasetParts) -> None:
        """Record what a study was trained on whose test set stays sealed, once for each study."""
        with self._lock():
            lines = self.read_lines()
            if not any(line.get("trained") == uid for line in lines):
                values = self._store_parts(parts)
                self._append(trained=uid, study=study, time=time.time(), **values)

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

    def find_opening(self, selection: str) -> Opening | None:
        """Return the opening for a selection; None if there was none.

        Earlier versions recorded no number: there it is the opening's place in the file.
        """
        for place, opened in enumerate(self.list_selections(), 1):
            if opened == selection:
                line = next(line for line in self.read_lines() if line.get("opened") == selection)
                return Opening(int(line.get("look", place)), tuple(line.get("overlap", ())))
        return None

    def read_lines(self) -> list[dict[str, Any]]:
        """Return all complete lines."""
        lines = (line for line in self._read_content().splitlines() if is_line(line + b"\n"))
        return [json.loads(line) for line in lines]

    def list_broken_lines(self) -> list[int]:
        """Return the numbers of the lines that do not follow the line before them, from 1."""
        broken, before = [], b""
        for number, line in enumerate(self._read_content().splitlines(), 1):
            after = json.loads(line).get("after") if is_line(line + b"\n") else None
            if after is not None and after != _hash_line(before):
                broken.append(number)
            before = line
        return broken

    def _list_splits(self, uid: str) -> list[EarlierSplit]:
        """Return the splits that the logs of the folder name, each once.

        A split that was opened names the studies that opened it, another one those trained on it.
        """
        splits: dict[tuple[str, str, str], EarlierSplit] = {}
        studies: dict[tuple[str, str, str, bool], set[str]] = {}
        for path in sorted(self.path.parent.glob("*.jsonl")):
            for line in TestSetLog(path).read_lines():
                if "training" not in line or line.get("trained") == uid:
                    continue
                key = (str(line["test"]), str(line["training"]), path.stem)
                who = "this study" if uid == line.get("uid") else ""
                split = EarlierSplit(
                    test=key[0],
                    training=key[1],
                    source=str(line["source"]),
                    study=who or f"'{line['study']}'",
                    time=float(line["time"]),
                    openings=0,
                    log=path.stem,
                )
                known = splits.setdefault(key, split)
                opened = "opened" in line
                if opened and not known.openings:  # name the study that opened it
                    known = replace(known, study=split.study, time=split.time)
                openings = known.openings + opened
                studies.setdefault((*key, opened), set()).add(split.study)
                others = len(studies[*key, openings > 0]) - 1
                splits[key] = replace(known, openings=openings, others=others)
        return list(splits.values())

    def _store_parts(self, parts: DatasetParts) -> dict[str, Any]:
        """Write the hashes of the examples; return the fields of a line that name them."""
        folder = self.path.parent
        return {
            "test": store_examples(folder, parts.test),
            "training": store_examples(folder, parts.training),
            "source": parts.source,
        }

    def _read_content(self) -> bytes:
        try:
            return self.path.read_bytes() if self.path.is_file() else b""
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read ({error.strerror})") from None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Lock the folder and remove an incomplete last line, which a crash may leave."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_name(LOCK_FILE)):
                jsonl.cut_torn_end(self.path, is_line, "restore the file from a backup")
                yield
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise StoreError(f"{self.path}: cannot be written ({why})") from None

    def _append(self, **values: Any) -> None:
        before = self._read_content().splitlines()
        values["after"] = _hash_line(before[-1] if before else b"")
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


def _identify_user() -> str:
    return f"{get_user()}@{socket.gethostname()}"


def _count_openings(lines: list[dict[str, Any]]) -> int:
    return len({str(line["opened"]) for line in lines if "opened" in line})


def _hash_line(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[:LINE_HASH_LENGTH]
