"""One study's spool on disk: an append-only file of writes, and how many of them were sent.

    harness-spool 1 open  00000000000000004711      what its driver does; bytes that were sent
    5f3a01c2 {"kind": "start", ...}                 CRC-32 of the rest, one write

A write stands here before anything else is made of it. `open` means that a driver works with the
file, or died doing so; `ended` that it left in order, so that nothing is to be learnt from what was
sent already.
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
from harness.system.jsonl import mend
from harness.tracking.outbox.messages import Finish, Open, Start, Write, from_json, to_json
from harness.trial import Trial

HEADER = re.compile(rb"harness-spool 1 (open |ended) (\d{20})\n")
START = len("harness-spool 1 ended 00000000000000000000\n")
SUFFIX = ".spool"


class Outbox:
    """Ours alone while it is open. Raises StudyError where another process has it, StoreError
    where it cannot be written or is damaged before its end."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name.removesuffix(SUFFIX)
        try:
            self._file = -1
            self._file = self._opened()
            mend(path, _is_whole, "restore it from a copy, or move it away and lose what it holds")
            self.size = os.fstat(self._file).st_size
            if self.size < START:
                self.ended, self.sent = False, START
                os.ftruncate(self._file, 0)
                self._mark()
                self.size = START
            else:
                found = HEADER.fullmatch(os.pread(self._file, START, 0))
                assert found is not None
                self.ended = found[1] == b"ended"
                self.sent = min(int(found[2]), self.size)
        except OSError as error:
            self.close()
            raise self._unwritable(error) from None
        except StoreError:
            self.close()
            raise
        self.waiting = sum(1 for _ in self.read(self.sent))
        """How many writes are not sent."""

    def append(self, write: Write) -> None:
        """Durable against the process's death; what ends something, against the machine's too."""
        line = _line(write)
        try:
            os.lseek(self._file, self.size, os.SEEK_SET)
            written = os.write(self._file, line)
            if written < len(line):
                os.ftruncate(self._file, self.size)
                raise OSError(28, "no space left on the device")
            if write.kind not in ("points", "start"):
                os.fsync(self._file)
        except OSError as error:
            raise self._unwritable(error) from None
        self.size += len(line)
        self.waiting += 1
        failpoint("spool.appended")

    def read(self, start: int = START) -> Iterator[tuple[Write, int]]:
        """Writes from byte `start` on, each with the place where it ends."""
        while start < self.size:
            line = self._line_at(start)
            start += len(line)
            yield from_json(line[9:]), start

    def opened(self) -> Open | None:
        """The last `Open` among what was sent: later writes count on it."""
        found = None
        for write, end in self.read():
            if end > self.sent:
                break
            if isinstance(write, Open):
                found = write
        return found

    @property
    def is_train(self) -> bool:
        """Whether it is of `harness train`, whose runs stand alone."""
        opens = [write for write, _ in self.read() if isinstance(write, Open)]
        return bool(opens) and opens[-1].record.kind == "train"

    def unfinished(self) -> Trial | None:
        """The last trial that was started, if nothing says how it ended."""
        last = None
        for write, _ in self.read():
            if isinstance(write, Start):
                last = write.trial
            elif isinstance(write, Finish):
                last = None
        return last

    def skip_study(self) -> bool:
        """Go past what is left of a study to the next one's `Open`, if there is one: what --fresh
        put away and the store refuses. It is kept beside, as `<name>.refused-<time>`."""
        before = self.opened()
        uid = before.record.uid if before else None
        start, place, count = self.sent, self.sent, 0
        for write, end in self.read(start):
            if isinstance(write, Open):
                uid = uid or write.record.uid
                if write.record.uid != uid:
                    beside = self.path.with_name(f"{self.path.name}.refused-{int(write.at)}")
                    beside.write_bytes(os.pread(self._file, place - start, start))
                    self.mark_sent(place, count)
                    return True
            count, place = count + 1, end
        return False

    def mark_sent(self, place: int, writes: int) -> None:
        """All before byte `place` was sent; `writes` more than before."""
        self.sent, self.waiting = place, self.waiting - writes
        self._mark()

    def mark(self, *, ended: bool) -> None:
        self.ended = ended
        self._mark()

    def compact(self) -> None:
        """Begin anew with the last `Open`, where everything was sent and there is room for it."""
        assert self.sent == self.size
        record = self.opened()
        line = _line(record) if record else b""
        sent = START + len(line)
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            beside.write_bytes(_header(self.ended, sent) + line)
        except OSError:
            beside.unlink(missing_ok=True)
            return
        fresh = os.open(beside, os.O_RDWR)
        fcntl.flock(fresh, fcntl.LOCK_EX | fcntl.LOCK_NB)
        failpoint("spool.compacting")
        beside.replace(self.path)
        os.close(self._file)
        self._file, self.size, self.sent = fresh, sent, sent

    def close(self, *, remove: bool = False) -> None:
        if self._file < 0:
            return
        if remove:
            self.path.unlink(missing_ok=True)
            with suppress(OSError):  # others' spools are in it
                self.path.parent.rmdir()
        os.close(self._file)
        self._file = -1

    def _opened(self) -> int:
        while True:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                continue  # another study has just removed the folder, which was empty
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                raise StudyError(
                    f"another process is writing or sending {self.path}; wait for it"
                ) from None
            if os.fstat(file).st_nlink:
                return file
            os.close(file)  # whoever had it before has just removed it

    def _line_at(self, start: int) -> bytes:
        parts: list[bytes] = []
        place = start
        while not parts or not parts[-1].endswith(b"\n"):
            part = os.pread(self._file, 1 << 16, place)
            if not part:
                raise StoreError(f"{self.path}: ends in the middle of a record")
            line, feed, _ = part.partition(b"\n")
            parts.append(line + feed)
            place += len(part)
        return b"".join(parts)

    def _mark(self) -> None:
        try:
            os.pwrite(self._file, _header(self.ended, self.sent), 0)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> StoreError:
        why = error.strerror or str(error)
        return StoreError(
            f"{self.path}: cannot be written ({why}); the same command goes on when it can"
        )


def _header(ended: bool, sent: int) -> bytes:
    return f"harness-spool 1 {'ended' if ended else 'open '} {sent:020d}\n".encode()


def _line(write: Write) -> bytes:
    content = to_json(write)
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _is_whole(line: bytes) -> bool:
    if HEADER.fullmatch(line):
        return True
    return line[8:9] == b" " and line[:8] == b"%08x" % zlib.crc32(line[9:-1])
