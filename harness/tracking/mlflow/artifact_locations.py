"""The absolute paths of files in a local MLflow database, after its folder was moved or copied.

MLflow records where each run's files are. In a moved folder they are elsewhere; in a copied one the
recorded place is the original's. Nothing here imports mlflow.
"""

from __future__ import annotations

import sqlite3
import urllib.parse
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


def find_old_folders(database: Path, artifacts: Path) -> list[Path]:
    """Return the folders in which files are recorded that are in `artifacts` now.

    Does not write. A database that cannot be read has none.
    """
    with (
        suppress(sqlite3.DatabaseError),
        closing(sqlite3.connect(format_read_only_uri(database), uri=True)) as connection,
    ):
        is_own = _is_own(database, artifacts)
        return [_parse_path(old) for old in _find_old_addresses(connection, artifacts, is_own)]
    return []


def update_locations(database: Path, artifacts: Path, original: Path | None = None) -> list[Path]:
    """Record that the files are in `artifacts`, in one transaction; return the old folders.

    Files that are recorded elsewhere and are not in `artifacts` stay as they are: another folder's
    studies may use the same database. Raises StoreError.

    `original` is the path that the database was copied from, to be read.
    """
    is_own = _is_own(original or database, artifacts)
    try:
        with closing(sqlite3.connect(database, LOCK_SECONDS, isolation_level=None)) as connection:
            if not _find_old_addresses(connection, artifacts, is_own):
                return []
            connection.execute("BEGIN IMMEDIATE")
            # Again, because another process may have done it meanwhile.
            addresses = _find_old_addresses(connection, artifacts, is_own)
            for old in addresses:
                # The path is that of MLflow's own experiment, which is not in the artifacts.
                path = _parse_path(old).parent
                for table, column in COLUMNS:
                    _replace(connection, table, column, f"{old}/", f"{artifacts.as_uri()}/")
                    _replace(connection, table, column, f"{path}/", f"{artifacts.parent}/")
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
    return [_parse_path(old) for old in addresses]


def _is_own(database: Path, artifacts: Path) -> bool:
    """Whether the database is beside the files, so that it was moved or copied with them."""
    return database.resolve().parent == artifacts.parent


def _find_old_addresses(connection: sqlite3.Connection, artifacts: Path, is_own: bool) -> list[str]:
    """Return the addresses of other folders whose files are in `artifacts` now.

    If the database is elsewhere, folders that exist are not among them: `artifacts` is a copy.
    """
    query = "SELECT DISTINCT artifact_location FROM experiments"
    addresses = {str(location).rpartition("/")[0] for (location,) in connection.execute(query)}
    return [
        each
        for each in sorted(addresses)
        if each.startswith("file:///")
        and _parse_path(each) != artifacts
        and (is_own or not _parse_path(each).exists())
        and _has_moved(connection, f"{each}/", artifacts, is_own)
    ]


def _has_moved(connection: sqlite3.Connection, start: str, artifacts: Path, is_own: bool) -> bool:
    """Whether `artifacts` has files of a run or model whose address begins with `start`."""
    for table, column in COLUMNS[1:3]:
        query = f"SELECT {column} FROM {table} WHERE substr({column}, 1, ?) = ?"
        for (location,) in connection.execute(query, (len(start), start)):
            if (artifacts / urllib.parse.unquote(str(location)[len(start) :].lstrip("/"))).exists():
                return True
    # A study whose driver died before it wrote a file has none anywhere. In a store that others use
    # too, their experiments are not touched: their folder may be on a drive that is not mounted.
    tagged = "EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND"
    query = (
        f"SELECT 1 FROM runs WHERE substr(artifact_uri, 1, ?) = ? AND ({tagged} substr(key, 1, ?) "
        f"= ?) OR NOT {tagged} key = ?)) LIMIT 1"
    )
    values = (len(start), start, len(DIGEST_TAG), DIGEST_TAG, "harness.uid")
    may_have_files = connection.execute(query, values).fetchone() is not None
    query = f"SELECT 1 FROM runs WHERE substr(artifact_uri, 1, ?) = ? AND {tagged} key = ?) LIMIT 1"
    has_study = connection.execute(query, (len(start), start, "harness.uid")).fetchone() is not None
    return (has_study or is_own) and not may_have_files and not _parse_path(start).exists()


def _replace(connection: sqlite3.Connection, table: str, column: str, old: str, new: str) -> None:
    change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE "
    where = f"substr({column}, 1, ?) = ?"
    connection.execute(change + where, (new, len(old) + 1, len(old), old))


def _parse_path(address: str) -> Path:
    return Path(urllib.parse.unquote(address.removeprefix("file://")))
