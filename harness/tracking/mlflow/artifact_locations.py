"""The absolute paths of files in a local MLflow database, after its folder was moved or copied.

MLflow records where each run's files are. In a moved folder they are elsewhere; in a copied one the
recorded place is the original's. Nothing here imports mlflow.
"""

from __future__ import annotations

import sqlite3
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from harness.errors import StoreError, Unavailable
from harness.system.addresses import format_read_only_uri
from harness.tracking.raw_types import DIGEST_TAG

COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
"""The columns with absolute paths."""
LOCK_SECONDS = 60.0
"""How long to wait for another process that writes to the database."""


def find_moved_roots(database: Path, root: Path) -> list[Path]:
    """Return the `mlruns` folders whose recorded files are in the folder `root` now.

    Does not write. A database that cannot be read has none.
    """
    with (
        suppress(sqlite3.DatabaseError),
        closing(sqlite3.connect(format_read_only_uri(database), uri=True)) as connection,
    ):
        return [_parse_path(prefix) for prefix in _find_moved_prefixes(connection, root)]
    return []


def update_locations(database: Path, root: Path) -> list[Path]:
    """Record that the files are in `root`, in one transaction; return where they were before.

    Files that are recorded elsewhere and that `root` does not have stay as they are: another
    folder's studies may use the same database. Raises StoreError.
    """
    try:
        with closing(sqlite3.connect(database, LOCK_SECONDS, isolation_level=None)) as connection:
            if not (prefixes := _find_moved_prefixes(connection, root)):
                return []
            connection.execute("BEGIN IMMEDIATE")
            prefixes = _find_moved_prefixes(connection, root)  # unless another process did it
            for table, column in COLUMNS:
                for old in prefixes:
                    _replace_prefix(connection, table, column, f"{old}/", f"{root.as_uri()}/")
                    old_path = f"{_parse_path(old)}/"  # of the experiment that MLflow creates
                    _replace_prefix(connection, table, column, old_path, f"{root}/")
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []  # empty, or another program's; MLflow reports it
        kind = Unavailable if "locked" in str(error) else StoreError
        raise kind(
            f"{database}: its paths cannot be updated ({error}); make it writable, or end the "
            "program that uses it"
        ) from None
    except sqlite3.DatabaseError:
        return []  # damaged; MLflow reports it
    return [_parse_path(prefix) for prefix in prefixes]


def _find_moved_prefixes(connection: sqlite3.Connection, root: Path) -> list[str]:
    """Return the addresses of other `mlruns` folders whose files are in `root` now."""
    query = "SELECT DISTINCT artifact_location FROM experiments"
    prefixes = set()
    for (location,) in connection.execute(query):
        prefix, _, name = str(location).rpartition("/artifacts/")
        if prefix.startswith("file:///") and "/" not in name:
            prefixes.add(prefix)
    others = [prefix for prefix in sorted(prefixes) if _parse_path(prefix) != root]
    return [prefix for prefix in others if _has_moved(connection, prefix, root)]


def _has_moved(connection: sqlite3.Connection, prefix: str, root: Path) -> bool:
    """Whether `root` has files of a run or model that are recorded under `prefix`."""
    if any((root / name).exists() for name in _list_names(connection, prefix)):
        return True
    # A study that died before it wrote a file has none anywhere.
    query = (
        "SELECT 1 FROM runs JOIN tags USING (run_uuid) WHERE substr(artifact_uri, 1, ?) = ? "
        "AND substr(key, 1, ?) = ? LIMIT 1"
    )
    start = f"{prefix}/"
    values = (len(start), start, len(DIGEST_TAG), DIGEST_TAG)
    has_files = connection.execute(query, values).fetchone() is not None
    return not has_files and not _parse_path(prefix).exists()


def _list_names(connection: sqlite3.Connection, prefix: str) -> Iterator[str]:
    """Yield the paths below `prefix` of the folders of runs and models."""
    start = f"{prefix}/"
    for table, column in COLUMNS[1:3]:
        query = f"SELECT {column} FROM {table} WHERE substr({column}, 1, ?) = ?"
        for (location,) in connection.execute(query, (len(start), start)):
            yield urllib.parse.unquote(str(location)[len(start) :])


def _replace_prefix(
    connection: sqlite3.Connection, table: str, column: str, old: str, new: str
) -> None:
    change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE "
    where = f"substr({column}, 1, ?) = ?"
    connection.execute(change + where, (new, len(old) + 1, len(old), old))


def _parse_path(address: str) -> Path:
    return Path(urllib.parse.unquote(address.removeprefix("file://")))
