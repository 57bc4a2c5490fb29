"""The file of refused writes, beside an outbox: writes that the store did not take.

<study>.spool.refused has one line of JSON for each write: why it was refused, and the write itself.
Before them is a line with their study, which `harness sync --refused` needs to send them again.
Version 0.1.0 wrote `<study>.spool.refused-<time>`, in the format of the outbox, without reasons.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import StoreError
from harness.tracking.outbox.messages import OpenStudy, Write, from_json, to_json

SUFFIX = ".refused"
"""Follows the name of the outbox file."""
CRC_LENGTH = 9
"""Characters before the JSON in a line of an outbox."""


@dataclass(frozen=True)
class RefusedWrites:
    """How many writes a store refused, where they are kept, and why the last one was refused."""

    path: Path
    count: int
    reason: str

    def __add__(self, later: RefusedWrites) -> RefusedWrites:
        return replace(self, count=self.count + later.count)

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        writes = f"{self.count:,} write{'s' * (self.count != 1)}"
        again = "send again with: harness sync --refused"
        return f"the tracking store refused {writes}{why}; kept in {self.path}; {again}"


def append_refused(
    outbox: Path, writes: Iterable[Write], reason: str, study: OpenStudy | None
) -> RefusedWrites:
    """Add writes of a study to the file of refused writes, and return them. Raises OSError.

    A sender that was killed before it marked them as sent adds them once.
    """
    path = outbox.with_name(outbox.name + SUFFIX)
    kept = [write for write in writes if not is_attachment(write)]
    why = json.dumps(reason).encode()
    lines = [b'{"reason": %s, "write": %s}\n' % (why, _format(write)) for write in kept]
    content = b"".join(lines)
    with path.open("ab+") as file:
        file.seek(0)
        before = file.read()
        if before and not before.endswith(b"\n"):  # it was killed in the middle of a line
            file.write(b"\n")
        if not before.endswith(content):
            if study is not None and _format(study) not in before:  # it was not refused itself
                line = b'{"study": ' + _format(replace(study, attach=True)) + b"}\n"
                file.write(b"" if line in before else line)
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return RefusedWrites(path, len(lines), reason)


def list_refused_files(outbox: Path) -> list[Path]:
    """Return the files of an outbox's refused writes, the oldest first."""
    return sorted(outbox.parent.glob(f"{outbox.name}{SUFFIX}*"))


def read_refused(outbox: Path) -> list[RefusedWrites]:
    """Return the refused writes of an outbox, by file, the oldest first."""
    known = []
    for path in list_refused_files(outbox):
        lines = [line for line in path.read_bytes().splitlines() if not _is_study(line)]
        try:
            reason = str(json.loads(lines[-1])["reason"]) if lines else ""
        except (ValueError, KeyError, TypeError):
            reason = ""  # by version 0.1.0
        known.append(RefusedWrites(path, len(lines), reason))
    return known


def read_writes(path: Path) -> list[Write]:
    """Return the writes of a file, each after its study. Raises OSError, StoreError."""
    writes: list[Write] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            if line.startswith(b"{"):
                values = json.loads(line)
                content = json.dumps(values.get("study") or values["write"]).encode()
            else:  # by version 0.1.0
                content = line[CRC_LENGTH:]
            if not line.startswith(b"harness-spool"):
                writes.append(from_json(content))
        except (ValueError, KeyError):
            raise StoreError(
                f"{path}: line {number} is damaged; remove the line, or move the file away"
            ) from None
    return writes


def is_attachment(write: Write) -> bool:
    """Whether it only names the study of the writes that follow."""
    return isinstance(write, OpenStudy) and write.attach


def _format(write: Write) -> bytes:
    return json.dumps(json.loads(to_json(write))).encode()


def _is_study(line: bytes) -> bool:
    return line.startswith(b'{"study"')
