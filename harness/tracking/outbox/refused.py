"""The file of refused writes, beside an outbox: writes that the store can never take.

<study>.spool.refused has one line of JSON for each write: why it was refused, and the write itself.
Version 0.1.0 wrote `<study>.spool.refused-<time>`, without reasons.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.tracking.outbox.messages import Write, to_json

SUFFIX = ".refused"
"""Follows the name of the outbox file."""


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
        return f"the tracking store refused {writes}{why}; kept in {self.path}"


def append_refused(outbox: Path, writes: Iterable[Write], reason: str) -> RefusedWrites:
    """Add writes to the file of refused writes, and return them. Raises OSError.

    A sender that was killed before it marked them as sent adds them once.
    """
    path = outbox.with_name(outbox.name + SUFFIX)
    lines = [
        json.dumps({"reason": reason, "write": json.loads(to_json(write))}) + "\n"
        for write in writes
    ]
    content = "".join(lines).encode()
    with path.open("ab+") as file:
        file.seek(max(0, file.tell() - len(content)))
        end = file.read()
        if end and not end.endswith(b"\n"):  # it was killed in the middle of a line
            file.write(b"\n")
        if end != content:
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return RefusedWrites(path, len(lines), reason)


def read_refused(outbox: Path) -> list[RefusedWrites]:
    """Return the refused writes of an outbox, by file, the oldest first."""
    known = []
    for path in sorted(outbox.parent.glob(f"{outbox.name}{SUFFIX}*")):
        lines = path.read_bytes().splitlines()
        try:
            reason = str(json.loads(lines[-1])["reason"]) if lines else ""
        except (ValueError, KeyError, TypeError):
            reason = ""  # by version 0.1.0
        known.append(RefusedWrites(path, len(lines), reason))
    return known
