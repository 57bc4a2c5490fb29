"""Errors of a store: temporary ones become Unavailable, permanent ones StoreError."""

from __future__ import annotations

import base64
import errno
import os
import shutil
import socket
import sqlite3
import threading
import time
import traceback
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run, RunData, RunInfo
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from harness.errors import StoreError, Unavailable
from harness.tracking.mlflow.client import Store
from harness.tracking.mlflow.error_mapping import map_error, reveals_secrets
from tests.faults.canned_server import CannedServer, run_canned_server

PASSWORD = "s3cr@t:ü/x"
QUOTED = urllib.parse.quote(PASSWORD, safe="")


@pytest.fixture(scope="module", autouse=True)
def configure_mlflow() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        patch.setenv("NO_PROXY", "*")
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[CannedServer]:
    with run_canned_server() as server:
        yield server


def with_password(address: str) -> str:
    return f"http://bob:{QUOTED}@{address}"


def run_with_files(uri: str) -> Run:
    location = f"{uri}/api/2.0/mlflow-artifacts/artifacts/1/2/artifacts"
    info = RunInfo("2", "1", "", "RUNNING", 0, None, "active", artifact_uri=location)
    return Run(info, RunData())


def put_file(store: Store) -> None:
    location = run_with_files(store.uri).info.artifact_uri
    get_artifact_repository(location, tracking_uri=store.uri).log_artifact(__file__)  # type: ignore[no-untyped-call]


CALLS: dict[str, Callable[[Store], Any]] = {
    "search": lambda store: store.client.search_experiments(),
    "create": lambda store: store.client.create_run("1"),
    "put": put_file,
    "get": lambda store: store.read_artifact(run_with_files(store.uri), "trial.json"),
}


def catch_error(store: Store, call: Callable[[], Any]) -> StoreError:
    """Return the error of `call`, checked to be one line without the password."""
    with pytest.raises(StoreError) as raised, store.map_errors():
        call()
    error = raised.value
    assert len(str(error).splitlines()) == 1
    assert str(error).isprintable()
    assert len(str(error)) < 500
    text = "".join(traceback.format_exception(error))
    for secret in (PASSWORD, QUOTED, PASSWORD.encode("unicode_escape").decode()):
        assert secret not in text
    assert "bob:" not in text
    return error


def check(error: StoreError, *, temporary: bool, text: str) -> None:
    assert text.lower() in str(error).lower()
    assert isinstance(error, Unavailable) is temporary, str(error)


TEMPORARY = (408, 429, 500, 502, 503, 504, 507, 520, 599)
PERMANENT = (400, 401, 403, 404, 405, 409, 413, 422, 501, 505)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", TEMPORARY + PERMANENT)
def test_the_status_decides_whether_an_error_is_temporary(
    server: CannedServer, status: int, call: str
) -> None:
    server.mode, store = str(status), Store(with_password(server.address))
    error = catch_error(store, lambda: CALLS[call](store))
    check(error, temporary=status in TEMPORARY, text=f"{server.address}: response {status}")


@pytest.mark.parametrize(
    ("answer", "temporary"),
    [
        ("500 INTERNAL_ERROR", True),
        ("500 NO_SUCH_CODE", True),
        ("503 TEMPORARILY_UNAVAILABLE", True),
        ("429 REQUEST_LIMIT_EXCEEDED", True),
        ("409 TEMPORARILY_UNAVAILABLE", True),
        ("400 BAD_REQUEST", False),
        ("400 INVALID_PARAMETER_VALUE", False),
        ("403 PERMISSION_DENIED", False),
        ("404 RESOURCE_DOES_NOT_EXIST", False),
        ("403 NO_SUCH_CODE", False),
    ],
)
def test_the_error_code_of_mlflow_decides_whether_an_error_is_temporary(
    server: CannedServer, answer: str, temporary: bool
) -> None:
    server.mode, store = answer, Store(with_password(server.address))
    error = catch_error(store, lambda: store.client.search_experiments())
    check(error, temporary=temporary, text=server.address)
    assert temporary or "one line and  another" in str(error)


WAYS = {
    "cut": "the response is truncated",
    "cut_chunk": "the response is truncated",
    "silent": "closed connection without response",
    "reset": "connection reset by peer",
    "garbage": "",
    "slow": "timed out",
    "busy": "response 503",
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("way", WAYS)
def test_a_broken_response_is_temporary(server: CannedServer, way: str, call: str) -> None:
    server.mode, server.slow_seconds = way, 1.2
    server.requests, began = 0, time.monotonic()
    store = Store(with_password(server.address))
    check(catch_error(store, lambda: CALLS[call](store)), temporary=True, text=WAYS[way])
    assert server.requests == 1, "a repeated request does its work twice"
    assert time.monotonic() - began < 30, "Retry-After is not for MLflow to wait for"


def test_a_web_page_instead_of_a_response_is_temporary(server: CannedServer) -> None:
    """A proxy sends a web page while its server is unavailable."""
    server.mode, store = "200", Store(with_password(server.address))
    error = catch_error(store, lambda: store.client.search_experiments())
    check(error, temporary=True, text="truncated or not from MLflow")
    location = run_with_files(store.uri).info.artifact_uri
    repository = get_artifact_repository(location, tracking_uri=store.uri)
    check(catch_error(store, repository.list_artifacts), temporary=True, text="not from MLflow")


def test_an_empty_response_creates_no_run(server: CannedServer) -> None:
    server.mode, store = "empty", Store(with_password(server.address))
    run = store.client.create_run("1")
    error = catch_error(store, lambda: store.remember_run("abc/1", run.info.run_id))
    check(error, temporary=True, text="the response is empty")


@pytest.mark.parametrize(
    ("way", "text"), [("away", "redirects"), ("refusal", "sign in first")], ids=str
)
def test_a_login_page_is_permanent(server: CannedServer, way: str, text: str) -> None:
    server.mode, store = way, Store(with_password(server.address))
    error = catch_error(store, lambda: store.client.search_experiments())
    check(error, temporary=False, text=text)


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_missing_server_is_temporary(call: str, scheme: str) -> None:
    store = Store(with_password(closed_port()).replace("http", scheme, 1))
    check(
        catch_error(store, lambda: CALLS[call](store)),
        temporary=True,
        text="connection refused",
    )


def test_an_unknown_host_name_is_temporary() -> None:
    store = Store(with_password("nowhere.invalid"))
    error = catch_error(store, lambda: store.client.search_experiments())
    check(error, temporary=True, text="nowhere.invalid: ")


def test_a_server_without_tls_is_permanent(server: CannedServer) -> None:
    store = Store(with_password(server.address).replace("http", "https", 1))
    check(catch_error(store, lambda: store.client.get_run("1")), temporary=False, text="ssl")


@pytest.mark.parametrize(
    "address",
    [
        f"http://bob:{QUOTED}@",
        f"http://bob:{QUOTED}@[::1",
        f"http://bob:{QUOTED}@host:port",
        f"postgresql://bob:{QUOTED}@host:port/db",
        f"postgresql+nodriver://bob:{QUOTED}@host/db",
        f"postgresql+nodriver://host/db?user=bob&password={QUOTED}",
        f"mysql+nodriver://bob:{QUOTED}@host/db",
        f"mysql+nodriver://host/db?user=bob&passwd={QUOTED}",
    ],
)
def test_an_invalid_address_is_permanent(address: str) -> None:
    def use() -> None:
        store = Store(address)
        with store.map_errors():
            store.client.search_experiments()

    with pytest.raises(StoreError) as raised:
        use()
    check(raised.value, temporary=False, text="")
    text = "".join(traceback.format_exception(raised.value))
    assert PASSWORD not in text
    assert QUOTED not in text


# ---- databases


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    Store(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))


@pytest.fixture
def short_lock_timeout() -> Iterator[None]:
    """Make SQLite wait 0.1 s for a lock; MLflow sets 20 s in every session."""

    def hurry(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        return statement.replace("busy_timeout = 20000", "busy_timeout = 100"), parameters

    event.listen(Engine, "before_cursor_execute", hurry, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", hurry)


def write(store: Store) -> None:
    store.client.create_experiment("abc")


def test_a_locked_database_is_temporary(database: Path, short_lock_timeout: None) -> None:
    store = Store(f"sqlite:///{database}")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        calls: tuple[Callable[[], Any], ...] = (
            lambda: write(store),
            lambda: store.list_runs("0", "study"),
        )
        for call in calls:
            check(
                catch_error(store, call),
                temporary=True,
                text=f"{database}: database is locked",
            )
        other.execute("ROLLBACK")
    write(store)


@pytest.mark.slow
def test_a_database_locked_from_the_start_is_temporary(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match="database is locked"):
            Store(f"sqlite:///{database}")
    write(Store(f"sqlite:///{database}"))


def test_a_full_database_is_temporary(database: Path) -> None:
    def fill(connection: Any, record: Any, proxy: Any) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # SQLite raises it to the current size

    store = Store(f"sqlite:///{database}")
    event.listen(Engine, "checkout", fill)
    try:
        tags = {str(place): "x" * 4000 for place in range(20)}
        error = catch_error(store, lambda: store.client.create_experiment("abc", tags=tags))
    finally:
        event.remove(Engine, "checkout", fill)
    check(error, temporary=True, text=f"{database}: database or disk is full")


def test_a_read_only_database_is_permanent(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(database.parent)  # MLflow makes the folder "file:" in the current one
    store = Store(f"sqlite:///file:{database}?mode=ro&uri=true")
    check(catch_error(store, lambda: write(store)), temporary=False, text="readonly database")


def test_a_deleted_database_is_permanent(database: Path) -> None:
    store = Store(f"sqlite:///{database}")
    database.unlink()
    check(catch_error(store, lambda: write(store)), temporary=False, text="readonly database")
    assert not database.exists()


@pytest.mark.parametrize("cut", [False, True], ids=["overwritten", "cut off"])
def test_a_malformed_database_is_permanent(database: Path, cut: bool) -> None:
    with database.open("r+b") as stream:
        if cut:
            stream.truncate(database.stat().st_size // 2)
        else:
            stream.seek(4096)
            stream.write(b"\xff" * (database.stat().st_size - 4096))
    before = database.read_bytes()
    with pytest.raises(StoreError, match=f"{database}: database disk image is malformed") as raised:
        Store(f"sqlite:///{database}")
    check(raised.value, temporary=False, text="")
    assert database.read_bytes() == before


def test_a_database_without_its_tables_is_permanent(database: Path) -> None:
    store = Store(f"sqlite:///{database}")
    with closing(sqlite3.connect(database)) as other:
        other.execute("DROP TABLE runs")
    error = catch_error(store, lambda: store.list_runs("0", "study"))
    check(error, temporary=False, text="no such table: runs")


def test_a_database_of_another_mlflow_version_is_permanent(database: Path) -> None:
    with closing(sqlite3.connect(database)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = 'abc'")
    with pytest.raises(StoreError, match="out-of-date database schema") as raised:
        Store(f"sqlite:///{database}")
    check(raised.value, temporary=False, text="mlflow db upgrade")


def test_a_refusal_of_mlflow_is_permanent(database: Path) -> None:
    store = Store(f"sqlite:///{database}")
    write(store)
    error = catch_error(store, lambda: write(store))
    check(error, temporary=False, text="Experiment(name=abc) already exists")
    error = catch_error(store, lambda: store.client.get_run("abc"))
    check(error, temporary=False, text="Run with id=abc not found")


@pytest.mark.parametrize(
    ("number", "temporary"),
    [
        *((each, True) for each in (errno.ENOSPC, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT)),
        *((each, True) for each in (errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED)),
        *((each, False) for each in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)),
    ],
    ids=lambda value: errno.errorcode.get(value, "") if value > 1 else "",
)
def test_the_errno_decides_whether_a_file_error_is_temporary(
    number: int, temporary: bool, database: Path
) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number))

    store = Store(f"sqlite:///{database}")
    check(catch_error(store, fail), temporary=temporary, text=os.strerror(number))


def test_a_full_disk_is_temporary(database: Path) -> None:
    store = Store(f"sqlite:///{database}")
    error = catch_error(store, lambda: Path("/dev/full").write_bytes(b"abc"))
    check(error, temporary=True, text="no space left on device")


class PostgresError(Exception):
    """An error like psycopg2's, without a database."""

    def __init__(self, text: str, pgcode: str | None = None) -> None:
        super().__init__(text)
        self.pgcode = pgcode


@pytest.mark.parametrize(
    ("inner", "temporary"),
    [
        (PostgresError('connection to server at "db", port 5432 failed: Connection refused'), True),
        (PostgresError("server closed the connection unexpectedly"), True),
        (PostgresError('FATAL: password authentication failed for user "bob"'), False),
        (PostgresError('FATAL: database "runs" does not exist'), False),
        (PostgresError("too many connections", "53300"), True),
        (PostgresError("the database system is starting up", "57P03"), True),
        (PostgresError("permission denied for table runs", "42501"), False),
        (Exception(2003, "Can't connect to MySQL server on 'db'"), True),
        (Exception(1045, "Access denied for user 'bob'"), False),
    ],
    ids=str,
)
def test_the_driver_of_other_databases_decides_whether_an_error_is_temporary(
    inner: Exception, temporary: bool
) -> None:
    wrapped = OperationalError("SELECT 1", {}, inner)
    error = MlflowException(str(wrapped))
    error.__cause__ = wrapped  # as MLflow's sessions raise it
    mapped = map_error(error, f"postgresql://bob:{QUOTED}@db/runs")
    check(mapped, temporary=temporary, text=str(inner.args[-1]))


FORMS = {
    "address": with_password("host:5000/base"),
    "shorter address": with_password("host:5000"),
    "user and password": f"bob:{PASSWORD}",
    "without scheme": f"bob:{QUOTED}@host",
    "plain": PASSWORD,
    "quoted": QUOTED,
    "quoted but for a slash": urllib.parse.quote(PASSWORD),
    "as in a form": urllib.parse.quote_plus(PASSWORD),
    "header": "Basic " + base64.b64encode(f"bob:{PASSWORD}".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_password_is_masked_in_every_form(form: str) -> None:
    """A proxy may echo the whole request."""
    uri = with_password("host:5000/base")
    error = OSError(errno.EACCES, f"no way to <{FORMS[form]}>: ask again")
    text = str(map_error(error, uri))
    assert "no way to <" in text
    assert text.endswith(">: ask again")
    secret = FORMS[form].removeprefix("Basic ")
    for part in (secret, PASSWORD, QUOTED, "bob:"):
        assert part not in text
    assert reveals_secrets(error, uri)
    outer = OSError("a fault")
    outer.__context__ = error
    assert reveals_secrets(outer, uri)
    assert not reveals_secrets(OSError("a fault"), uri)


def test_an_earlier_error_is_not_taken_for_the_cause(server: CannedServer) -> None:
    store = Store(with_password(server.address))
    try:
        raise ConnectionResetError(errno.ECONNRESET, "an older fault")
    except OSError:
        server.mode = "404"
        error = catch_error(store, lambda: store.client.search_experiments())
    check(error, temporary=False, text="response 404")


# ---- a new database


def count_tables(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'")
        return int(rows.fetchone()[0])


def test_a_new_database_has_all_tables_or_does_not_exist(
    empty_database: Path, tmp_path: Path
) -> None:
    """A process that is killed while MLflow creates its tables leaves a file MLflow cannot open."""
    path = tmp_path / "mlflow.db"
    half = path.with_name("mlflow.db.new")
    half.write_bytes(empty_database.read_bytes()[: 1 << 16])  # from a killed process
    seen = []

    def watch() -> None:
        while not path.exists():
            time.sleep(0.001)
        seen.append(count_tables(path))

    watcher = threading.Thread(target=watch)
    watcher.start()
    Store(f"sqlite:///{path}")
    watcher.join()
    assert seen == [count_tables(empty_database)]
    assert not half.exists()
    write(Store(f"sqlite:///{path}"))


# ---- duplicate runs of a request that timed out and was retried


@pytest.mark.parametrize("first", [True, False], ids=["made first", "made last"])
@pytest.mark.parametrize("writer", [True, False], ids=["who wrote", "who comes later"])
def test_of_two_runs_with_one_uid_the_used_one_counts(
    database: Path, first: bool, writer: bool
) -> None:
    store = Store(f"sqlite:///{database}")
    experiment = store.client.create_experiment("abc")
    tags = {"harness.uid": "abc/1", "harness.kind": "trial"}
    runs = [store.client.create_run(experiment, at, tags).info.run_id for at in (1, 2)]
    used = runs[0 if first else 1]
    if writer:
        store.remember_run("abc/1", used)
    else:
        store.client.log_param(used, "depth", 1)
    assert store.find_run_id("abc/1", experiment) == used
    assert [run.info.run_id for run in store.list_runs(experiment, "trial")] == [used]
    assert len(store.client.search_runs([experiment])) == 2
    store.delete_duplicate_runs(experiment, "abc")
    assert [run.info.run_id for run in store.client.search_runs([experiment])] == [used]


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (
            "401",
            "PASSWORD, or $MLFLOW_TRACKING_TOKEN, to those of a known user",
        ),
        ("403", "to those of a user with the permission"),
        ("403 PERMISSION_DENIED", "to those of a user with the permission"),
    ],
)
def test_a_refused_login_says_what_to_set(server: CannedServer, answer: str, advice: str) -> None:
    server.mode, store = answer, Store(f"http://{server.address}")
    error = catch_error(store, lambda: store.client.search_experiments())
    check(error, temporary=False, text="; set $MLFLOW_TRACKING_USERNAME")
    assert advice in str(error)


def test_a_refused_host_header_says_what_to_do() -> None:
    message = "Invalid Host header - possible DNS rebinding attack detected"
    error = MlflowException(
        f"API request to endpoint /api failed with error code 403 != 200. "
        f"Response body: '{message}'"
    )
    assert "start the server with --allowed-hosts" in str(map_error(error, "http://mlflow:5000"))


def test_a_login_from_the_environment_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken-of-bob")
    header = base64.b64encode(f"bob:{PASSWORD}".encode()).decode()
    for secret in (PASSWORD, QUOTED, header, "t0ken-of-bob"):
        error = MlflowException(f"it heard {secret} and said no")
        assert "it heard *** and said no" in str(map_error(error, "http://mlflow:5000"))
        assert reveals_secrets(error, "http://mlflow:5000")
