"""A folder with a journal file for each study: Optuna's append-only JSON lines.

<folder>/<study>.journal         the study's record
<folder>/<study>.lock            held by the driver while it lives
<folder>/<study>.holder          which process that is, for messages
<folder>/<study>.journal.part    a draft
<folder>/<study>.journal.new     a draft that is about to replace a record
<folder>/<study>.journal.cut-*   what a repair cut off the end
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation

from harness.errors import StoreError, StudyError
from harness.system import jsonl
from harness.system.failpoints import failpoint

UNSYNCED = {
    JournalOperation.CREATE_TRIAL,
    JournalOperation.SET_TRIAL_PARAM,
    JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE,
    JournalOperation.SET_TRIAL_SYSTEM_ATTR,
}
"""Records without their own fsync. The fsync at the end of a trial's sampling and at its end covers
them. A power failure can lose only those of a running trial, which is trained again anyway."""


class JournalFile(JournalFileBackend):
    """Optuna's journal file, for the one process that holds the study's lock.

    Optuna itself locks the file and waits for the disk at each record, 17 times a trial. Here one
    write call appends a record, which survives the death of the process.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs).encode()
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                written = os.write(file, lines)
                if written < len(lines):  # the next write names the reason
                    os.write(file, lines[written:])
                if not all(log["op_code"] in UNSYNCED for log in logs):
                    os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise StoreError(
                f"{self._path}: cannot be written ({error.strerror}); rerun the same command when "
                "it can"
            ) from None


class JournalFolder:
    """A `harness.search.storage.base.StudyStorage` of journal files in the folder `path`.

    A study that an earlier version recorded in one of the folders `older` stays there.
    """

    def __init__(self, path: Path, *older: Path) -> None:
        self._folders = (path, *older)

    @contextmanager
    def lock(self, study: str, fresh: bool = False) -> Iterator[None]:
        with self._hold_lock(study):
            path, new = self.journal_path(study), self._new_path(study)
            with suppress(*([StoreError] if fresh else [])):
                repair_journal(path)
            if new.is_file() and path.is_file():
                new.unlink()  # its driver died before it archived the old record
            if new.is_file():
                new.rename(path)
            yield

    def is_locked(self, study: str) -> bool:
        try:
            file = os.open(self.find_folder(study) / f"{study}.lock", os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def list_studies(self) -> list[str]:
        journals = [path for folder in self._folders for path in folder.glob("*.journal")]
        return sorted({path.name.removesuffix(".journal") for path in journals})

    def has_study(self, study: str) -> bool:
        return self.journal_path(study).is_file() or self._new_path(study).is_file()

    def find_folder(self, study: str) -> Path:
        """Return the folder that has the study's journal, else the folder of new ones."""
        for folder in self._folders:
            journal = folder / f"{study}.journal"
            if journal.exists() or Path(f"{journal}.new").exists():
                return folder
        return self._folders[0]

    def list_unread_journals(self, study: str) -> list[Path]:
        """Return the study's journals in the other folders."""
        journals = [folder / f"{study}.journal" for folder in self._folders]
        return [path for path in journals if path.exists() and path != self.journal_path(study)]

    def journal_path(self, study: str) -> Path:
        return self.find_folder(study) / f"{study}.journal"

    def describe(self, study: str) -> str:
        return str(self.journal_path(study))

    def get_version(self, study: str) -> object:
        path = self.journal_path(study)
        return path.stat().st_size if path.is_file() else 0

    def get_storage(self, study: str) -> BaseStorage:
        return JournalStorage(JournalFile(self.journal_path(study)))

    def create_draft(self, study: str) -> tuple[BaseStorage, str]:
        draft = self._draft_path(study)
        draft.unlink(missing_ok=True)
        return JournalStorage(JournalFile(draft)), study

    def publish(self, study: str, archive_suffix: str | None) -> None:
        path, draft, new = self.journal_path(study), self._draft_path(study), self._new_path(study)
        if archive_suffix is None:
            draft.rename(path)
            return
        draft.rename(new)
        path.rename(path.with_name(f"{study}.{archive_suffix}.journal"))
        failpoint("search.aside")
        new.rename(path)

    def make_archive_suffix(self, study: str) -> str:
        """The time of the last write to the study's journal."""
        written = self.journal_path(study).stat().st_mtime
        return time.strftime("%Y%m%d-%H%M%S", time.localtime(written))

    def _new_path(self, study: str) -> Path:
        return self.find_folder(study) / f"{study}.journal.new"

    def _draft_path(self, study: str) -> Path:
        return self.find_folder(study) / f"{study}.journal.part"

    @contextmanager
    def _hold_lock(self, study: str) -> Iterator[None]:
        """Hold the study's lock file. Raises StudyError if another driver holds it."""
        folder = self.find_folder(study)
        holder, lock = folder / f"{study}.holder", FileLock(folder / f"{study}.lock")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout:
            driver = holder.read_text() if holder.is_file() else "another process"
            raise StudyError(
                f"study '{study}' is being driven by {driver}; wait for it, or choose another name"
            ) from None
        except OSError as error:
            raise StoreError(f"{folder}: cannot be written ({error.strerror})") from None
        try:
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def repair_journal(journal: Path) -> None:
    """Cut off an incomplete last line, which is kept in a file; remove a dead driver's write lock.

    Optuna loads a journal with an incomplete last line, then appends to that line, and can never
    load the file again. A leftover write lock delays the first write by 30 s. Raises StoreError if
    complete lines follow a damaged one, and changes nothing then.
    """
    # Optuna's lock is a symbolic link to the journal, or a file on systems without links.
    Path(f"{journal}.lock").unlink(missing_ok=True)
    advice = (
        "restore the file from a backup, or start over with --fresh, which keeps it under another "
        "name"
    )
    jsonl.cut_torn_end(journal, is_complete, advice)


def is_complete(line: bytes) -> bool:
    """Whether a line of a journal is a complete record."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
