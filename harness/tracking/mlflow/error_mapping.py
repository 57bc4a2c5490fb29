"""What went wrong in a store, in one line, and whether it may go away by itself.

MLflow's error codes say little: with its own retries off, every answer 408, 429 or 5xx arrives as
INTERNAL_ERROR, and whatever a database says, be it locked or read-only, as TEMPORARILY_UNAVAILABLE.
What it was stands in the errors that these were made of.

    connection refused, reset, cut off; timeout; no such host        Unavailable
    408, 429, 5xx but for 501 and 505; an answer that is no JSON     Unavailable
    SQLite: locked, full, I/O error; another database: no connection Unavailable
    OSError: no space, interrupted, timed out, ECONN...              Unavailable
    any other answer (401 and 403 say what to set); a certificate    StoreError
    SQLite: read-only, malformed, no such table, cannot be opened    StoreError
"""

from __future__ import annotations

import base64
import errno
import http
import os
import re
import sqlite3
import ssl
import urllib.parse

import requests
from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, MlflowException, RestException
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from urllib3.exceptions import HTTPError as PoolError
from urllib3.exceptions import MaxRetryError

from harness.errors import StoreError, Unavailable, masked

CAUGHT = (MlflowException, SQLAlchemyError, OSError, ImportError)
"""What MLflow's client raises where the store is at fault; requests' errors are OSErrors."""
ANSWERS = re.compile(
    r"failed with error code (?P<status>\d{3}) != \d+\. Response body: '(?P<body>.*)'$"
    r"|too many (?P<many>\d{3}) error responses",
    re.DOTALL,
)
PASSING_ERRNO = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ETIMEDOUT),
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE),
    *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
}
PASSING_SQLITE = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL),
    *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT),
}
PASSING_SQLSTATE = ("08", "40", "53", "55P03", "57P")
"""No connection, serialisation and deadlock, resources, locks, shutting down or starting."""
PASSING_MYSQL = {1040, 1205, 1213, 2002, 2003, 2006, 2013}
"""Too many connections, lock wait, deadlock, and the four ways to have no connection."""
REFUSED = re.compile("authenti|password|pg_hba|does not exist|permission|denied", re.IGNORECASE)
SECRET = re.compile("passw|pwd|secret|token", re.IGNORECASE)
"""Options of an address whose values are not to be told."""
PASSING_REQUESTS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.InvalidJSONError,
)
LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Where MLflow's client finds how to log in."""
LONGEST = 300


def explained(error: BaseException, uri: str) -> StoreError:
    """An Unavailable or another StoreError of one line, without the password of `uri`."""
    passing, why = _judged(error)
    told = " ".join(without_secrets(why, uri).split())
    line = "".join(c if c.isprintable() else " " for c in told)
    if len(line) > LONGEST:
        line = f"{line[:LONGEST]}..."
    kind = Unavailable if passing else StoreError
    where = masked(uri).partition("?")[0]
    return kind(f"MLflow at {where}: {line or type(error).__name__}")


def tells_secrets(error: BaseException, uri: str) -> bool:
    """Whether a traceback of `error` would show the password of `uri`."""
    seen: BaseException | None = error
    while seen is not None:
        text = f"{seen} {seen.args!r}"
        if without_secrets(text, uri) != text:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def without_secrets(text: str, uri: str) -> str:
    """The password in `text` as ***, in whichever way it is written."""
    text = text.replace(uri, masked(uri))
    for secret in _secrets(uri):
        text = text.replace(secret, "***")
    return text


def _secrets(uri: str) -> list[str]:
    """Ways to write the passwords in `uri` and the environment, and the user with his; the longest
    first."""
    scheme, _, address = uri.partition("://")
    user, _, password = (userinfo := address.rpartition("@")[0]).partition(":")
    if scheme.startswith("http") and not password:
        password = user  # a token
    # Databases take it among the options too, and these as quoted as the rest.
    options = urllib.parse.parse_qsl(address.partition("?")[2])
    found = {value for key, value in options if SECRET.search(key)}
    found |= {password, userinfo} if password else set()
    name, secret, token = (os.environ.get(variable, "") for variable in LOGIN)
    found |= {secret, token, f"{name}:{secret}" if secret else ""}
    plain = {urllib.parse.unquote(secret) for secret in found}
    ways = found | plain | {repr(secret)[1:-1] for secret in plain}
    ways |= {urllib.parse.quote(secret, safe) for secret in plain for safe in ("", "/", ":")}
    ways |= {urllib.parse.quote_plus(secret) for secret in plain}
    ways |= {base64.b64encode(secret.encode()).decode() for secret in plain}  # in a header
    return sorted(ways - {""}, key=len, reverse=True)


def _judged(error: BaseException) -> tuple[bool, str]:
    """Whether it may pass, and why it happened. Follows an error to what it was made of, but not
    to what merely happened before."""
    if isinstance(error, RestException):
        # Without a code it is not MLflow's own: a proxy's or a login's, as JSON.
        status = ERROR_CODE_TO_HTTP_STATUS.get(str(error.json.get("error_code")), 0)
        advice = f"; {_advice(status, str(error))}" if status in (401, 403) else ""
        return _passes(status), f"{error}{advice}"
    if isinstance(error, MlflowException):
        return _judged_of_mlflow(error)
    if isinstance(error, DBAPIError):
        return _judged_of_database(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _judged_of_answer(error.response.status_code, error.response.text)
    if isinstance(error, requests.RequestException):
        return _judged_of_connection(error)
    if isinstance(error, OSError):
        passing = error.errno in PASSING_ERRNO or isinstance(error, TimeoutError | ConnectionError)
        return passing, str(error)
    return isinstance(error, PoolTimeout), str(error)


def _judged_of_mlflow(error: MlflowException) -> tuple[bool, str]:
    text, cause = str(error), error.__cause__
    if cause is not None:
        passing, why = _judged(cause)
        # MLflow often tells more than a database does, but for where it only wraps its words.
        tells_more = isinstance(cause, DBAPIError) and not text.startswith("(")
        return passing, text if tells_more and not passing else why
    if found := ANSWERS.search(text):
        return _judged_of_answer(int(found["status"] or found["many"]), found["body"] or "")
    if text.startswith("API request to ") and error.__context__ is not None:
        return _judged(error.__context__)  # MLflow does not say `from` there
    if "was not in a valid JSON format" in text:
        return True, "its answer is cut off, or not MLflow's"
    return False, text


def _judged_of_answer(status: int, body: str) -> tuple[bool, str]:
    phrase = next((each.phrase for each in http.HTTPStatus if each == status), "")
    words = f"it answers {status} {phrase}".strip()
    if status in (401, 403):
        return False, f"{words}; {_advice(status, body)}"
    if body.strip() and not body.lstrip().startswith("<"):  # a page says nothing in one line
        words += f": {body.strip()}"
    return _passes(status), words


def _advice(status: int, said: str) -> str:
    """For who is not let in."""
    if "Invalid Host header" in said:
        return "start it with --allowed-hosts that has the host of this address"
    name, secret, token = (f"${variable}" for variable in LOGIN)
    which = "a user it knows" if status == 401 else "one who may do this"
    return f"set {name} and {secret}, or {token}, to {which}"


def _passes(status: int) -> bool:
    return status in (408, 429) or (status >= 500 and status not in (501, 505))


def _judged_of_connection(error: requests.RequestException) -> tuple[bool, str]:
    inner = _innermost(error)
    why = inner.strerror if isinstance(inner, OSError) and inner.strerror else str(inner)
    if isinstance(inner, ssl.SSLError):
        return isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError), str(why)
    if isinstance(error, requests.exceptions.InvalidJSONError):
        return True, "its answer is cut off, or not MLflow's"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return True, f"its answer is cut off ({why})"
    return isinstance(error, PASSING_REQUESTS), str(why)


def _innermost(error: BaseException) -> BaseException:
    """The error that urllib3's and requests' are wrapped around."""
    while True:
        parts: tuple[object, ...] = (error.__cause__,)
        if isinstance(error, MaxRetryError):
            parts = (error.reason,)
        elif isinstance(error, requests.RequestException | PoolError):
            parts += error.args[::-1]
        inner = next((part for part in parts if isinstance(part, Exception)), None)
        if inner is None:
            return error
        error = inner


def _judged_of_database(error: DBAPIError) -> tuple[bool, str]:
    inner = error.orig
    why = str(inner)
    if isinstance(inner, sqlite3.Error):
        # The low byte says what happened, the rest where.
        return getattr(inner, "sqlite_errorcode", 0) & 0xFF in PASSING_SQLITE, why
    state = getattr(inner, "sqlstate", None) or getattr(inner, "pgcode", None)
    if state:
        return str(state).startswith(PASSING_SQLSTATE), why
    code = inner.args[0] if inner is not None and inner.args else None
    if isinstance(code, int):
        return code in PASSING_MYSQL, why
    lost = error.connection_invalidated or isinstance(error, OperationalError)
    return lost and not REFUSED.search(why), why
