"""Which errors of a local database and of files are temporary. Nothing here imports mlflow."""

from __future__ import annotations

import errno
import sqlite3

from harness.errors import Refused, StoreError, Unavailable
from harness.system.addresses import describe_store

TEMPORARY_ERRNO = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ETIMEDOUT),
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE),
    *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
}
TEMPORARY_SQLITE = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL),
    *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT),
}


class MissingRecordError(LookupError):
    """A run, an experiment or a model that a local database does not have."""

    error_code = "RESOURCE_DOES_NOT_EXIST"
    """MLflow's code for the same."""


def is_temporary_sqlite(error: sqlite3.Error) -> bool:
    """Whether a retry may succeed."""
    # The low byte is the error, the others are details.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in TEMPORARY_SQLITE


def is_temporary_os(error: OSError) -> bool:
    """Whether a retry may succeed."""
    return error.errno in TEMPORARY_ERRNO or isinstance(error, TimeoutError | ConnectionError)


def map_local_error(error: sqlite3.Error | OSError | MissingRecordError, uri: str) -> StoreError:
    """Return a StoreError of one line, as `error_mapping.map_error` does for MLflow's errors."""
    text = f"MLflow at {describe_store(uri)}: {' '.join(str(error).split())}"
    if isinstance(error, MissingRecordError):
        return Refused(text)
    if isinstance(error, sqlite3.Error):
        is_temporary = is_temporary_sqlite(error)
    else:
        is_temporary = is_temporary_os(error)
    return Unavailable(text) if is_temporary else StoreError(text)
