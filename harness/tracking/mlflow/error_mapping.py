"""Map the errors of MLflow's client to one line, and decide whether a retry may succeed.

MLflow's error codes are too coarse: with its own retries off, every response 408, 429 or 5xx is an
INTERNAL_ERROR, and every database error, be it locked or read-only, is TEMPORARILY_UNAVAILABLE. The
errors that caused them are precise.

    connection refused, reset, cut off; timeout; no such host        Unavailable
    408, 429, 5xx but for 501 and 505; an answer that is no JSON     Unavailable
    SQLite: locked, full, I/O error; another database: no connection Unavailable
    OSError: no space, interrupted, timed out, ECONN...              Unavailable
    MLflow: a value that it does not take, an unknown run; 413, 422  Refused
    a database: a value that a column does not take                  Refused
    OSError: a name that is too long                                 Refused
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
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from urllib3.exceptions import HTTPError as PoolError
from urllib3.exceptions import MaxRetryError

from harness.errors import Refused, StoreError, Unavailable, mask_credentials
from harness.system.addresses import describe_store
from harness.system.proxies import Proxy, find_proxy
from harness.tracking.mlflow.local_errors import is_temporary_os, is_temporary_sqlite

CLIENT_ERRORS = (MlflowException, SQLAlchemyError, OSError, ImportError)
"""What MLflow's client raises when the store fails; requests' errors are OSErrors."""
RESPONSE_PATTERN = re.compile(
    r"failed with error code (?P<status>\d{3}) != \d+\. Response body: '(?P<body>.*)'$"
    r"|too many (?P<many>\d{3}) error responses",
    re.DOTALL,
)
TEMPORARY_SQLSTATE = ("08", "40", "53", "55P03", "57P")
"""Connection, serialization and deadlock, resources, locks, shutdown and start of the server."""
TEMPORARY_MYSQL = {1040, 1205, 1213, 2002, 2003, 2006, 2013}
"""Too many connections, lock wait, deadlock, and four kinds of connection errors."""
REFUSED_CODES = {
    *("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST", "INVALID_STATE"),
    *("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"),
}
"""MLflow's codes for a request that is wrong by itself."""
REFUSED_STATUS = {400, 409, 410, 413, 414, 422}
"""The same of a server or a proxy that gives no code."""
REFUSED_ERRNO = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENOTDIR}
REFUSED_PATTERN = re.compile(
    "authenti|password|pg_hba|does not exist|permission|denied", re.IGNORECASE
)
SECRET_PATTERN = re.compile("passw|pwd|secret|token", re.IGNORECASE)
"""Options of an address whose values are masked."""
TEMPORARY_REQUESTS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.InvalidJSONError,
)
PROXY_ERRORS = (requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL)
LOGIN_VARIABLES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""The environment variables of MLflow's login."""
MAX_LENGTH = 300


def map_error(error: BaseException, uri: str) -> StoreError:
    """Return a StoreError of one line, without the password of `uri`.

    It is an Unavailable if a retry may succeed, and a Refused if no retry of this request can.
    """
    is_temporary, reason = _classify(error)
    if not _is_refusal(error) and (proxy := find_proxy(uri)) is not None:
        reason = _name_proxy(error, reason, proxy)
    text = " ".join(mask_secrets(reason, uri).split())
    line = "".join(c if c.isprintable() else " " for c in text)
    if len(line) > MAX_LENGTH:
        line = f"{line[:MAX_LENGTH]}..."
    error_class = StoreError
    if is_temporary:
        error_class = Unavailable
    elif _is_refusal(error):
        error_class = Refused
    return error_class(f"MLflow at {describe_store(uri)}: {line or type(error).__name__}")


def _name_proxy(error: BaseException, reason: str, proxy: Proxy) -> str:
    """Return the reason with the proxy that the request was sent through, which may be at fault."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, PROXY_ERRORS):
            return proxy.describe_failure(reason)
        current = current.__cause__ or current.__context__
    return f"through {proxy.describe()}: {reason}"


def reveals_secrets(error: BaseException, uri: str) -> bool:
    """Whether a traceback of `error` would show the password of `uri`."""
    current: BaseException | None = error
    while current is not None:
        text = f"{current} {current.args!r}"
        if mask_secrets(text, uri) != text:
            return True
        current = current.__cause__ or current.__context__
    return False


def mask_secrets(text: str, uri: str) -> str:
    """Replace the passwords in `text` by ***, however they are encoded."""
    text = text.replace(uri, mask_credentials(uri))
    for secret in _find_secrets(uri):
        text = text.replace(secret, "***")
    return text


def _find_secrets(uri: str) -> list[str]:
    """Return all encodings of the passwords in `uri` and the environment, the longest first."""
    scheme, _, address = uri.partition("://")
    user, _, password = (userinfo := address.rpartition("@")[0]).partition(":")
    if scheme.startswith("http") and not password:
        password = user  # a token
    # Databases accept a password among the options too, where it may be quoted.
    options = urllib.parse.parse_qsl(address.partition("?")[2])
    secrets = {value for key, value in options if SECRET_PATTERN.search(key)}
    secrets |= {password, userinfo} if password else set()
    name, secret, token = (os.environ.get(variable, "") for variable in LOGIN_VARIABLES)
    secrets |= {secret, token, f"{name}:{secret}" if secret else ""}
    plain = {urllib.parse.unquote(secret) for secret in secrets}
    variants = secrets | plain | {repr(secret)[1:-1] for secret in plain}
    variants |= {urllib.parse.quote(secret, safe) for secret in plain for safe in ("", "/", ":")}
    variants |= {urllib.parse.quote_plus(secret) for secret in plain}
    variants |= {base64.b64encode(secret.encode()).decode() for secret in plain}  # in a header
    return sorted(variants - {""}, key=len, reverse=True)


def _classify(error: BaseException) -> tuple[bool, str]:
    """Return whether an error is temporary, and its reason.

    Follows an error to its explicit cause, but not to an error that only happened before it.
    """
    if isinstance(error, RestException):
        # Without a code it is not from MLflow, but JSON of a proxy or a login page.
        status = ERROR_CODE_TO_HTTP_STATUS.get(str(error.json.get("error_code")), 0)
        advice = f"; {_login_advice(status, str(error))}" if status in (401, 403) else ""
        return _is_temporary_status(status), f"{error}{advice}"
    if isinstance(error, MlflowException):
        return _classify_mlflow(error)
    if isinstance(error, DBAPIError):
        return _classify_database(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _classify_response(error.response.status_code, error.response.text)
    if isinstance(error, requests.RequestException):
        return _classify_connection(error)
    if isinstance(error, OSError):
        return is_temporary_os(error), str(error)
    return isinstance(error, PoolTimeout), str(error)


def _is_refusal(error: BaseException) -> bool:
    """Whether an error that is not temporary is about the content of the request."""
    if isinstance(error, RestException):
        return error.json.get("error_code") in REFUSED_CODES
    if isinstance(error, MlflowException):
        if error.__cause__ is not None:
            return _is_refusal(error.__cause__)
        if match := RESPONSE_PATTERN.search(str(error)):
            return int(match["status"] or match["many"]) in REFUSED_STATUS
        return error.error_code in REFUSED_CODES
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code in REFUSED_STATUS
    if isinstance(error, DataError | IntegrityError):
        return True
    return isinstance(error, OSError) and error.errno in REFUSED_ERRNO


def _classify_mlflow(error: MlflowException) -> tuple[bool, str]:
    text, cause = str(error), error.__cause__
    if cause is not None:
        is_temporary, reason = _classify(cause)
        # MLflow's text is clearer than the database's, unless it only wraps it in parentheses.
        is_clearer = isinstance(cause, DBAPIError) and not text.startswith("(")
        return is_temporary, text if is_clearer and not is_temporary else reason
    if match := RESPONSE_PATTERN.search(text):
        return _classify_response(int(match["status"] or match["many"]), match["body"] or "")
    if text.startswith("API request to ") and error.__context__ is not None:
        return _classify(error.__context__)  # MLflow raises it without `from`
    if "was not in a valid JSON format" in text:
        return True, "the response is truncated or not from MLflow"
    return False, text


def _classify_response(status: int, body: str) -> tuple[bool, str]:
    phrase = next((known.phrase for known in http.HTTPStatus if known == status), "")
    message = f"response {status} {phrase}".strip()
    if status in (401, 403):
        return False, f"{message}; {_login_advice(status, body)}"
    if body.strip() and not body.lstrip().startswith("<"):  # a web page does not fit in one line
        message += f": {body.strip()}"
    return _is_temporary_status(status), message


def _login_advice(status: int, body: str) -> str:
    """Return what to do about a response 401 or 403."""
    if "Invalid Host header" in body:
        return "start the server with --allowed-hosts that includes the host of this address"
    name, secret, token = (f"${variable}" for variable in LOGIN_VARIABLES)
    account = "a known user" if status == 401 else "a user with the permission"
    return f"set {name} and {secret}, or {token}, to those of {account}"


def _is_temporary_status(status: int) -> bool:
    return status in (408, 429) or (status >= 500 and status not in (501, 505))


def _classify_connection(error: requests.RequestException) -> tuple[bool, str]:
    inner = _find_innermost(error)
    reason = inner.strerror if isinstance(inner, OSError) and inner.strerror else str(inner)
    if isinstance(inner, ssl.SSLError):
        return isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError), str(reason)
    if isinstance(error, requests.exceptions.InvalidJSONError):
        return True, "the response is truncated or not from MLflow"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return True, f"the response is truncated ({reason})"
    return isinstance(error, TEMPORARY_REQUESTS), str(reason)


def _find_innermost(error: BaseException) -> BaseException:
    """Return the error inside the wrappers of urllib3 and requests."""
    while True:
        causes: tuple[object, ...] = (error.__cause__,)
        if isinstance(error, MaxRetryError):
            causes = (error.reason,)
        elif isinstance(error, requests.RequestException | PoolError):
            causes += error.args[::-1]
        inner = next((part for part in causes if isinstance(part, Exception)), None)
        if inner is None:
            return error
        error = inner


def _classify_database(error: DBAPIError) -> tuple[bool, str]:
    inner = error.orig
    reason = str(inner)
    if isinstance(inner, sqlite3.Error):
        return is_temporary_sqlite(inner), reason
    state = getattr(inner, "sqlstate", None) or getattr(inner, "pgcode", None)
    if state:
        return str(state).startswith(TEMPORARY_SQLSTATE), reason
    code = inner.args[0] if inner is not None and inner.args else None
    if isinstance(code, int):
        return code in TEMPORARY_MYSQL, reason
    is_lost = error.connection_invalidated or isinstance(error, OperationalError)
    return is_lost and not REFUSED_PATTERN.search(reason), reason
