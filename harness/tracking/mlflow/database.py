"""A new local database, made whole or not at all.

MLflow makes its tables in sixty steps, which take a second. Of databases whose maker was killed in
between, a half could never be opened again.
"""

from __future__ import annotations

from pathlib import Path

from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

SCHEME = "sqlite:///"


def make_whole(uri: str) -> None:
    """Make the SQLite file of `uri` with its tables, unless it is there; nothing for other stores.

    To be called by one process at a time for each folder. Raises OSError, SQLAlchemyError.
    """
    name = uri.removeprefix(SCHEME)
    path = Path(name)
    if name in (uri, "", ":memory:") or "?" in name or _has_content(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    for left in (beside, beside.with_name(f"{beside.name}-journal")):
        left.unlink(missing_ok=True)  # by one that was killed
    engine = create_sqlalchemy_engine(f"{SCHEME}{beside}")  # type: ignore[no-untyped-call]
    try:
        _initialize_tables(engine)  # type: ignore[no-untyped-call]
    finally:
        engine.dispose()
    beside.replace(path)


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
