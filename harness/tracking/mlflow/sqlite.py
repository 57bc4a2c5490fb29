"""A new local database, made whole or not at all.

MLflow makes its tables in sixty steps, which take a second. Of databases whose maker was killed in
between, a half could never be opened again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

SCHEME = "sqlite:///"


def make_whole(uri: str) -> None:
    """Make the SQLite file of `uri` with its tables, unless it is there; nothing for other stores.

    Raises OSError, SQLAlchemyError.
    """
    name = uri.removeprefix(SCHEME)
    path = Path(name)
    if name in (uri, "", ":memory:") or "?" in name or _has_content(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        if not _has_content(path):
            _make(path)


def _make(path: Path) -> None:
    beside = path.with_name(f"{path.name}.new")
    for left in (beside, beside.with_name(f"{beside.name}-journal")):
        left.unlink(missing_ok=True)  # by one that was killed
    engine = create_sqlalchemy_engine(f"{SCHEME}{beside}")  # type: ignore[no-untyped-call]
    try:
        _initialize_tables(engine)  # type: ignore[no-untyped-call]
    finally:
        engine.dispose()
    beside.replace(path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: several studies may begin at once where there is nothing yet."""
    file = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
