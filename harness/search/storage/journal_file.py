"""One study's journal file: locked by one driver, mended before it is opened.

<folder>/<study>.journal         Optuna's append-only JSON lines
<folder>/<study>.lock            held by the driver while it lives
<folder>/<study>.holder          who that is, for people
<folder>/<study>.journal.cut-*   what a repair took off the end
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import StoreError, StudyError
from harness.system import jsonl


@contextmanager
def locked(folder: Path, study: str, fresh: bool = False) -> Iterator[Path]:
    """The study's journal, ours alone while the block runs. Raises StudyError where it is held.

    It is mended, or StoreError raised where it cannot be, unless a `fresh` one takes its place.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror})") from None
    holder = folder / f"{study}.holder"
    lock = FileLock(folder / f"{study}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text() if holder.is_file() else "another process"
        raise StudyError(
            f"study '{study}' is being driven by {who}; wait for it, or choose another name"
        ) from None
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror})") from None
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        journal = folder / f"{study}.journal"
        with suppress(*([StoreError] if fresh else [])):
            mend(journal)
        yield journal
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def mend(journal: Path) -> None:
    """Cut a torn end off, keeping it beside; remove a dead driver's write lock.

    Optuna loads a journal whose last line is torn, then appends to that line, and no start after
    that succeeds. A write lock left behind stalls the first write by 30 s. Raises StoreError where
    whole records follow a broken one: that is no torn end, and is left as it is.
    """
    # Optuna's lock is a symbolic link to the journal, or a file where links are not to be had.
    Path(f"{journal}.lock").unlink(missing_ok=True)
    advice = "restore the file from a copy, or start again with --fresh, which keeps it aside"
    jsonl.cut_torn_end(journal, is_record, advice)


def aside(journal: Path) -> Path:
    """Where the journal of an old study goes: a name with the time of its last write."""
    suffix = time.strftime("%Y%m%d-%H%M%S", time.localtime(journal.stat().st_mtime))
    return journal.with_name(f"{journal.stem}.{suffix}.journal")


def is_record(line: bytes) -> bool:
    """Whether a line of a journal is whole."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
