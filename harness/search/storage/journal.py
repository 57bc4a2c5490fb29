"""A folder with a journal file for each study, Optuna's append-only JSON lines."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend

from harness.errors import StoreError
from harness.search.storage.journal_file import aside, locked
from harness.system.failpoints import failpoint


class Backend(JournalFileBackend):
    """Optuna's journal file, whose disk may be full."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            raise StoreError(
                f"{self._path}: cannot be written ({error.strerror}); the same command goes on "
                "when it can"
            ) from None


class JournalFolder:
    """Journals in `path`; a `harness.search.storage.base.StudyStorage`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def locked(self, study: str, fresh: bool = False) -> Iterator[None]:
        with locked(self.path, study, fresh) as path:
            new = self._new(study)
            if new.is_file() and path.is_file():
                new.unlink()  # whoever made it died before the old one was put aside
            if new.is_file():
                new.rename(path)
            yield

    def held(self, study: str) -> bool:
        try:
            file = os.open(self.path / f"{study}.lock", os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def names(self) -> list[str]:
        return sorted(path.name.removesuffix(".journal") for path in self.path.glob("*.journal"))

    def journal(self, study: str) -> Path:
        return self.path / f"{study}.journal"

    def shown(self, study: str) -> str:
        return str(self.journal(study))

    def mark(self, study: str) -> object:
        path = self.journal(study)
        return path.stat().st_size if path.is_file() else 0

    def storage(self, study: str) -> optuna.storages.BaseStorage:
        return optuna.storages.JournalStorage(Backend(self.journal(study)))

    def draft(self, study: str) -> tuple[optuna.storages.BaseStorage, str]:
        part = self._part(study)
        part.unlink(missing_ok=True)
        return optuna.storages.JournalStorage(Backend(part)), study

    def publish(self, study: str, aside: str | None) -> None:
        path, part, new = self.journal(study), self._part(study), self._new(study)
        if aside is None:
            part.rename(path)
            return
        part.rename(new)
        path.rename(path.with_name(f"{study}.{aside}.journal"))
        failpoint("search.aside")
        new.rename(path)

    def suffix(self, study: str) -> str:
        return aside(self.journal(study)).name.removesuffix(".journal").removeprefix(f"{study}.")

    def _new(self, study: str) -> Path:
        return self.path / f"{study}.journal.new"

    def _part(self, study: str) -> Path:
        return self.path / f"{study}.journal.part"
