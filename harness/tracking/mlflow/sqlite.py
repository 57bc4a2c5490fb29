"""Create a local MLflow database with all of its tables, or not at all.

MLflow creates its tables in sixty steps, which take a second. When it was killed in between, half
of the databases could never be opened again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from harness.system.addresses import format_sqlite_uri, parse_sqlite_path
from harness.tracking.mlflow.database_template import keep_template, read_template


def create_database(uri: str) -> None:
    """Create the SQLite file of `uri`, unless it exists; does nothing for other stores.

    Raises OSError, SQLAlchemyError.
    """
    path = parse_sqlite_path(uri)
    if path is None or "?" in uri or _has_content(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock_folder(path.parent):
        if not _has_content(path):
            _create_tables(path)


def _create_tables(path: Path) -> None:
    draft = _clear_draft(path, "new")
    if (template := read_template()) is not None and _copy_tables(template, path):
        return
    _initialize(draft, path)
    keep_template(draft)
    draft.replace(path)


def _copy_tables(template: bytes, path: Path) -> bool:
    """Create the file from a template; return False if MLflow does not accept that."""
    draft = _clear_draft(path, "copy")  # MLflow keeps connections by name: not the other draft's
    draft.write_bytes(template)
    try:
        _initialize(draft, path)
    except Exception:  # whatever is wrong with the copy, MLflow then creates the tables itself
        _clear_draft(path, "copy")
        return False
    draft.replace(path)
    return True


def _clear_draft(path: Path, suffix: str) -> Path:
    """Return the path of a draft, without what a process that was killed left there."""
    draft = path.with_name(f"{path.name}.{suffix}")
    for leftover in (draft, draft.with_name(f"{draft.name}-journal")):
        leftover.unlink(missing_ok=True)
    return draft


def _initialize(draft: Path, path: Path) -> None:
    """Let MLflow create what is missing in `draft`, and check its tables."""
    # With MLflow's own default experiment, which otherwise gets the current folder's path, unquoted
    # in SQL: it cannot hold an apostrophe or a colon.
    artifacts = (path.resolve().parent / "artifacts").as_uri()
    store = SqlAlchemyStore(format_sqlite_uri(draft), artifacts)  # type: ignore[no-untyped-call]
    store._dispose_engine()  # type: ignore[no-untyped-call]


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes: several studies may start at once in a new one."""
    file = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
