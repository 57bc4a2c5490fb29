"""One study's outbox file: an append-only file of writes, and how many of them were sent.

    harness-spool 1 open  00000000000000004711      the state; how many bytes were sent
    5f3a01c2 {"kind": "start", ...}                 CRC-32 of the rest of the line, one write

Every write is in this file before it is sent. `open` means that a driver uses the file, or died
while using it: the next driver reads from it which trials were finished. `ended` means that the
driver exited normally, so the sent writes are not needed any more.

Why not a SQLite table: with one flipped bit in its write-ahead log SQLite reported no damage and
dropped 67 of 100 rows; here a CRC detects it and the file stays as it is. Old outboxes would need
this reader anyway, and `harness doctor` must read one without leaving -wal and -shm files behind.
"""

from __future__ import annotations

import fcntl
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harness.errors import StoreError, StudyError
from harness.system.failpoints import failpoint
from harness.system.jsonl import cut_torn_end
from harness.tracking.outbox.messages import (
    FinishTrial,
    OpenStudy,
    StartTrial,
    Write,
    from_json,
    to_json,
)
from harness.tracking.outbox.refused import RefusedWrites, append_refused
from harness.trial import Trial

HEADER_PATTERN = re.compile(rb"harness-spool 1 (open |ended) (\d{20})\n")
HEADER_SIZE = len("harness-spool 1 ended 00000000000000000000\n")
SUFFIX = ".spool"


class Outbox:
    """An open outbox file, locked for this process."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, and cut off a write that was interrupted.

        Raises:
            StudyError: Another process has the file open.
            StoreError: The file cannot be written, or is damaged before its last line.
        """
        self.path = path
        try:
            self._descriptor = -1
            self._descriptor = self._open_file()
            cut_torn_end(
                path, _is_intact, "restore it from a backup, or move it away and lose its writes"
            )
            self.size = os.fstat(self._descriptor).st_size
            if self.size < HEADER_SIZE:
                self.ended, self.sent = False, HEADER_SIZE
                os.ftruncate(self._descriptor, 0)
                self._write_header()
                self.size = HEADER_SIZE
            else:
                match = HEADER_PATTERN.fullmatch(os.pread(self._descriptor, HEADER_SIZE, 0))
                assert match is not None
                self.ended = match[1] == b"ended"
                self.sent = min(int(match[2]), self.size)
        except OSError as error:
            self.close()
            raise self._write_error(error) from None
        except StoreError:
            self.close()
            raise
        self.waiting = sum(1 for _ in self.read(self.sent))
        """How many writes were not sent yet."""

    def append(self, write: Write) -> None:
        """Add a write. It survives the death of the process.

        Writes that end something (all but points and starts) also survive a power failure.
        """
        line = _format_line(write)
        try:
            os.lseek(self._descriptor, self.size, os.SEEK_SET)
            count = os.write(self._descriptor, line)
            if count < len(line):
                os.ftruncate(self._descriptor, self.size)
                raise OSError(28, "no space left on the device")
            if write.kind not in ("points", "start"):
                os.fsync(self._descriptor)
        except OSError as error:
            raise self._write_error(error) from None
        self.size += len(line)
        self.waiting += 1
        failpoint("spool.appended")

    def read(self, start: int = HEADER_SIZE) -> Iterator[tuple[Write, int]]:
        """Yield the writes from byte `start` on, each with the byte offset of its end."""
        while start < self.size:
            line = self._read_line(start)
            start += len(line)
            yield from_json(line[9:]), start

    def last_open(self) -> OpenStudy | None:
        """Return the last sent `OpenStudy`, which a new connection needs before later writes."""
        last = None
        for write, end in self.read():
            if end > self.sent:
                break
            if isinstance(write, OpenStudy):
                last = write
        return last

    @property
    def is_train(self) -> bool:
        """Whether it belongs to `harness train`, whose run has no study."""
        opens = [write for write, _ in self.read() if isinstance(write, OpenStudy)]
        return bool(opens) and opens[-1].record.kind == "train"

    def find_finish(self, uid: str) -> FinishTrial | None:
        """Return the last end of a trial."""
        ends = [
            write
            for write, _ in self.read()
            if isinstance(write, FinishTrial) and write.trial.uid == uid
        ]
        return ends[-1] if ends else None

    def unfinished_trial(self) -> Trial | None:
        """Return the last trial that was started, if it was not finished."""
        last = None
        for write, _ in self.read():
            if isinstance(write, StartTrial):
                last = write.trial
            elif isinstance(write, FinishTrial):
                last = None
        return last

    def next_write(self) -> tuple[Write, int] | None:
        """Return the first unsent write and the byte offset of its end."""
        return next(self.read(self.sent), None)

    def find_study_end(self) -> int | None:
        """Return where the unsent writes of a study end that --fresh set aside.

        That is the byte offset of the next study's `OpenStudy`; None if there is none.
        """
        last = self.last_open()
        uid, place = last.record.uid if last else None, self.sent
        for write, end in self.read(self.sent):
            if isinstance(write, OpenStudy):
                if place > self.sent and write.record.uid != uid:
                    return place
                uid = write.record.uid
            place = end
        return None

    def refuse(self, place: int, reason: str) -> RefusedWrites:
        """Move the unsent writes before byte `place` to the file of refused writes."""
        writes = [write for write, end in self.read(self.sent) if end <= place]
        try:
            refused = append_refused(self.path, writes, reason, self.last_open())
        except OSError as error:
            raise self._write_error(error) from None
        failpoint("spool.refused")
        self.mark_sent(place, len(writes))
        return refused

    def mark_sent(self, place: int, writes: int) -> None:
        """Record that everything before byte `place` was sent: `writes` more than before."""
        self.sent, self.waiting = place, self.waiting - writes
        self._write_header()

    def mark_ended(self, *, ended: bool) -> None:
        """Record whether the driver exited normally."""
        self.ended = ended
        self._write_header()

    def compact(self) -> None:
        """Drop the sent writes, but for the last `OpenStudy`. Does nothing if the disk is full."""
        assert self.sent == self.size
        record = self.last_open()
        line = _format_line(record) if record else b""
        sent = HEADER_SIZE + len(line)
        new_path = self.path.with_name(f"{self.path.name}.new")
        try:
            new_path.write_bytes(_format_header(self.ended, sent) + line)
        except OSError:
            new_path.unlink(missing_ok=True)
            return
        new_file = os.open(new_path, os.O_RDWR)
        fcntl.flock(new_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        failpoint("spool.compacting")
        new_path.replace(self.path)
        os.close(self._descriptor)
        self._descriptor, self.size, self.sent = new_file, sent, sent

    def close(self, *, remove: bool = False) -> None:
        """Release the file, and delete it if `remove`."""
        if self._descriptor < 0:
            return
        if remove:
            self.path.unlink(missing_ok=True)
            with suppress(OSError):  # it holds outboxes of other studies
                self.path.parent.rmdir()
        os.close(self._descriptor)
        self._descriptor = -1

    def _open_file(self) -> int:
        while True:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                continue  # the process of another study has just removed the empty folder
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                raise StudyError(
                    f"another process is writing or sending {self.path}; wait for it"
                ) from None
            if os.fstat(file).st_nlink:
                return file
            os.close(file)  # the process that had it before has just removed it

    def _read_line(self, start: int) -> bytes:
        parts: list[bytes] = []
        place = start
        while not parts or not parts[-1].endswith(b"\n"):
            part = os.pread(self._descriptor, 1 << 16, place)
            if not part:
                raise StoreError(f"{self.path}: ends in the middle of a record")
            line, feed, _ = part.partition(b"\n")
            parts.append(line + feed)
            place += len(part)
        return b"".join(parts)

    def _write_header(self) -> None:
        try:
            os.pwrite(self._descriptor, _format_header(self.ended, self.sent), 0)
        except OSError as error:
            raise self._write_error(error) from None

    def _write_error(self, error: OSError) -> StoreError:
        why = error.strerror or str(error)
        return StoreError(
            f"{self.path}: cannot be written ({why}); rerun the same command when it can"
        )


def _format_header(ended: bool, sent: int) -> bytes:
    return f"harness-spool 1 {'ended' if ended else 'open '} {sent:020d}\n".encode()


def _format_line(write: Write) -> bytes:
    content = to_json(write)
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _is_intact(line: bytes) -> bool:
    if HEADER_PATTERN.fullmatch(line):
        return True
    return line[8:9] == b" " and line[:8] == b"%08x" % zlib.crc32(line[9:-1])
