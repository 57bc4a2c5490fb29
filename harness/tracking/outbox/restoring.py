"""Move refused writes back into their outbox, to be sent again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.errors import StoreError
from harness.tracking.outbox.messages import OpenStudy, Write
from harness.tracking.outbox.queue import HEADER_SIZE, Outbox
from harness.tracking.outbox.refused import is_attachment, list_refused_files, read_writes


def restore_refused(outbox: Outbox) -> int:
    """Add the refused writes to the outbox and remove their files.

    If the process is killed in between, they are sent twice, which changes nothing. Returns how
    many lines only name a study. Raises StoreError if a write's study is not on record.
    """
    if outbox.size == HEADER_SIZE:
        outbox.ended = True  # no driver used this file, so it is not kept for the next one
    studies = 0
    for path in list_refused_files(outbox.path):
        try:
            writes = _read_with_study(outbox, path)
            for write in writes:
                outbox.append(write)
                studies += is_attachment(write)
            path.unlink()
        except OSError as error:
            raise StoreError(f"{path}: cannot be read or removed ({error.strerror})") from None
    return studies


def _read_with_study(outbox: Outbox, path: Path) -> list[Write]:
    writes = read_writes(path)
    if not writes or isinstance(writes[0], OpenStudy):
        return writes
    last = outbox.last_open()
    if last is None:
        raise StoreError(
            f"{path}: cannot be sent again, because an earlier version kept it without its study"
        )
    return [replace(last, attach=True), *writes]
