"""The addresses of tracking stores and of Optuna's storage: one form for all spellings.

A path becomes an address, and an address a path, only here. A `?`, `%` or `#` in a path is quoted.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import string
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harness.errors import ConfigError, mask_credentials

MAX_LENGTH = 2000
DEFAULT_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0")
"""Names of this machine; the first one stands for all in a store's identity."""
IDENTIFYING_OPTIONS = ("dbname", "host", "port", "service", "unix_socket")
"""Options of a database's address that choose the database; others choose how to connect."""
SQLITE = re.compile(r"sqlite(\+pysqlite)?:///", re.IGNORECASE)
UNRESERVED = string.ascii_letters + string.digits + "-._~"


def format_sqlite_uri(path: Path) -> str:
    """Return an SQLite file's address for SQLAlchemy and MLflow. Raises ConfigError."""
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{text!r} is not valid UTF-8; rename the folder") from None
    if text.isprintable() and not set(text) & set("?%#"):
        return f"sqlite:///{text}"
    # With the driver's name: for `sqlite:///` MLflow would create a folder of the quoted name.
    return f"sqlite+pysqlite:///{urllib.parse.quote(text)}"


def parse_sqlite_path(uri: str) -> Path | None:
    """Return the path of an SQLite file's address; None for another kind of store."""
    scheme = SQLITE.match(uri)
    return Path(urllib.parse.unquote(uri[scheme.end() :])) if scheme else None


def format_read_only_uri(path: Path) -> str:
    """Return the address with which `sqlite3.connect(..., uri=True)` cannot write to a file."""
    return f"file:{urllib.parse.quote(str(path))}?mode=ro"


def format_read_only_sqlite_uri(path: Path) -> str:
    """Return the same for SQLAlchemy and MLflow, which unquote the path once more."""
    quoted = urllib.parse.quote(urllib.parse.quote(str(path)))
    # With the driver's name: for `sqlite:///` MLflow would create a folder `file:`.
    return f"sqlite+pysqlite:///file:{quoted}?mode=ro&uri=true"


def describe_store(uri: str) -> str:
    """Return an address for a message: without a password, and with an SQLite file's plain path."""
    path = parse_sqlite_path(uri)
    if path is None:
        return mask_credentials(uri).partition("?")[0]
    text = str(path)
    if text.startswith("file:"):  # by `format_read_only_sqlite_uri`
        text = urllib.parse.unquote(text.removeprefix("file:").rpartition("?")[0])
    return f"sqlite:///{text}"


def normalize_tracking_uri(uri: str) -> str:
    """Return a tracking address in its usual spelling, to connect with. Connects to nothing.

    An SQLite path is made absolute, without symbolic links. Raises ConfigError.
    """
    scheme = SQLITE.match(uri)
    is_known = uri.isprintable() and len(uri) <= MAX_LENGTH
    if not is_known or not (scheme or _is_network_address(uri)):
        raise ConfigError(
            f"{mask_credentials(uri)!r} is not a tracking address; write http://HOST:PORT or sqlite:///PATH"
        )
    if scheme is None:
        return _normalize_network_address(uri)
    if "?" in uri:
        raise ConfigError(
            f"{uri!r} is not a tracking address: options are not supported; write a ? in a path "
            "as %3F"
        )
    path = parse_sqlite_path(uri)
    if path is None or str(path) in (".", ":memory:") or "\0" in str(path):
        raise ConfigError(f"{uri!r} names no file; write sqlite:///PATH")
    return format_sqlite_uri(path.resolve())


def normalize_storage_uri(url: str) -> str:
    """Return the usual spelling of a PostgreSQL address; another kind of address as it is."""
    scheme, separator, rest = url.partition("://")
    dialect = scheme.lower().partition("+")[0]
    return f"postgresql://{rest}" if separator and dialect in ("postgres", "postgresql") else url


def identify_store(uri: str) -> str:
    """Return the same text for every spelling of a normalized tracking address.

    It has no user, no password and no driver, and one name for this machine.
    """
    if SQLITE.match(uri):
        return uri
    parts = urllib.parse.urlsplit(uri)
    scheme, options = parts.scheme.partition("+")[0], ""
    if not scheme.startswith("http"):
        known = urllib.parse.parse_qsl(parts.query)
        options = urllib.parse.urlencode(sorted(o for o in known if o[0] in IDENTIFYING_OPTIONS))
    path = _normalize_quoting(parts.path) + (f"?{options}" if options else "")
    port = f":{parts.port}" if parts.port not in (None, DEFAULT_PORTS.get(scheme)) else ""
    host = _format_host(parts.hostname or "")
    host = LOCAL_HOSTS[0] if host in LOCAL_HOSTS else host
    return f"{scheme}://{host}{port}{path}"


def format_folder_name(identity: str) -> str:
    """Return a name for a store's folder, which no other store has."""
    digest = hashlib.sha256(identity.encode()).hexdigest()
    return f"{_replace_signs(identity.partition('://')[2])[:60].strip('_')}-{digest[:10]}"


def list_older_folder_names(uri: str, folders: tuple[Path, ...]) -> list[str]:
    """Return the names that earlier versions gave to the folder of a store, by its spelling.

    Args:
        uri: A normalized tracking address.
        folders: To which a relative SQLite path may have been relative, under any of their names.
    """
    path = parse_sqlite_path(uri)
    spellings = _list_network_spellings(uri) if path is None else _list_paths(path, folders)
    return list(dict.fromkeys(_replace_signs(each)[:100] for each in spellings))


def _list_paths(path: Path, folders: tuple[Path, ...]) -> Iterator[str]:
    yield f"/{path}"
    for folder in folders:
        with suppress(ValueError, OSError):
            relative = path.relative_to(folder.resolve())
            yield from (f"/{relative}", f"/./{relative}", f"/{folder.absolute() / relative}")


def _list_network_spellings(uri: str) -> Iterator[str]:
    address = mask_credentials(uri).partition("://")[2].removeprefix("***@")
    yield address
    place = re.split("[/?]", address)[0]
    host, _, port = urllib.parse.urlsplit(identify_store(uri)).netloc.partition(":")
    default = DEFAULT_PORTS.get(uri.partition(":")[0].partition("+")[0])
    for name in LOCAL_HOSTS if host in LOCAL_HOSTS else (host,):
        for suffix in (f":{port}",) if port else ("", f":{default}"):
            spelling = f"{name}{suffix}{address.removeprefix(place)}"
            yield from (spelling, f"{spelling}/")


def _replace_signs(address: str) -> str:
    return "".join(c if c.isalnum() or c in "-." else "_" for c in address)


def _is_network_address(uri: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(uri)
        host = parts.hostname or "" if parts.port != 0 else ""
    except ValueError:  # its message would show the password
        return False
    if parts.scheme in ("http", "https"):
        return any(map(str.isalnum, host))
    is_database = parts.scheme.startswith(("postgresql", "mysql"))
    return is_database and "://" in uri


def _normalize_network_address(uri: str) -> str:
    """Lower the case of scheme and host; remove a server's default port and last slash."""
    parts = urllib.parse.urlsplit(uri)
    if not parts.scheme.startswith("http"):  # the driver of a database knows more spellings
        return f"{parts.scheme}{uri[len(parts.scheme) :]}"
    user, at, _ = parts.netloc.rpartition("@")
    port = f":{parts.port}" if parts.port not in (None, DEFAULT_PORTS[parts.scheme]) else ""
    path = _normalize_quoting(parts.path).rstrip("/")
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{user}{at}{_format_host(parts.hostname or '')}{port}{path}{query}"


def _format_host(host: str) -> str:
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return f"[{address}]" if address.version == 6 else str(address)
    with suppress(UnicodeError):  # a name with letters outside ASCII
        host = host.encode("idna").decode()
    return host.lower().removesuffix(".")


def _normalize_quoting(path: str) -> str:
    """Quote what must be quoted, and nothing else. See RFC 3986, section 6.2.2."""

    def normalize(match: re.Match[str]) -> str:
        letter = chr(int(match[1], 16))
        return letter if letter in UNRESERVED else match[0].upper()

    return re.sub("%([0-9A-Fa-f]{2})", normalize, urllib.parse.quote(path, "%/:@!$&'()*+,;=~"))
