"""The `mlruns/` folder: where the records, reports and outboxes of every study are."""

from __future__ import annotations

import glob
import logging
import os
import shlex
import socket
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness.errors import StoreError, StudyError, Unavailable, mask_credentials
from harness.system import addresses, timings
from harness.system.proxies import find_proxy
from harness.system.signals import StopFlag
from harness.test_set.log import TestSetLog

if TYPE_CHECKING:
    from harness.search.storage.base import StudyStorage
    from harness.tracking.base import Tracker
    from harness.tracking.outbox import OutboxTracker

LOGGER = logging.getLogger(__name__)
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
START = "start with: harness run-study quickstart"
STORAGE_VARIABLE = "HARNESS_STORAGE"


@dataclass(frozen=True)
class Workspace:
    """The paths inside `mlruns/`, and the stores that are opened from them."""

    root: Path
    storage: str | None = None
    """The PostgreSQL address of the Optuna records; None for journal files in `root`."""

    def study_storage(self, tracking_uri: str) -> StudyStorage:
        """Return the Optuna storage of the studies in a tracking store. Raises ConfigError."""
        from harness.search.storage.journal import JournalFolder

        if self.storage is None:
            return JournalFolder(*self._list_store_folders(self.root / "optuna", tracking_uri))
        from harness.search.storage.postgres import PostgresStorage

        return PostgresStorage(self.storage)

    def may_have_journal(self, study: str) -> bool:
        """Whether a study may have an Optuna record here. Does not import Optuna."""
        return self.storage is not None or any(
            (self.root / "optuna").glob(f"**/{glob.escape(study)}.journal*")
        )

    def journal_folder(self, tracking_uri: str) -> Path:
        """Return the folder of new Optuna journals of the studies in a tracking store."""
        return self._list_store_folders(self.root / "optuna", tracking_uri)[0]

    @property
    def database(self) -> Path:
        """MLflow's local SQLite file."""
        return self.root / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """The folder of the files of a local store's runs."""
        return (self.root / "artifacts").resolve()

    def report_path(self, study: str, tracking_uri: str) -> Path:
        folder = self._find_folder(self.root / "reports", tracking_uri, study)
        return folder / study / "index.html"

    def outbox_folder(self, tracking_uri: str, file: str = "") -> Path:
        """Return the outbox folder of a store, or that of an earlier version that has `file`."""
        return self._find_folder(self.root / "spool", tracking_uri, file)

    def list_outbox_folders(self, tracking_uri: str) -> list[Path]:
        """Return the outbox folder of a store, and those that earlier versions made."""
        return self._list_store_folders(self.root / "spool", tracking_uri)

    def list_unsent(self) -> list[str]:
        """Return the names of the studies with an outbox, which a running one has too."""
        from harness.tracking.outbox.queue import SUFFIX

        return sorted(path.stem for path in (self.root / "spool").glob(f"*{SUFFIX}"))

    def _find_folder(self, folder: Path, tracking_uri: str, name: str) -> Path:
        folders = self._list_store_folders(folder, tracking_uri)
        return next((each for each in folders if name and (each / name).exists()), folders[0])

    def _list_store_folders(self, folder: Path, tracking_uri: str) -> list[Path]:
        """Return the tracking store's subfolder, because studies of two stores may share a name.

        The existing ones follow that earlier versions named after the address's spelling.
        """
        parents = (self.root.parent, Path.cwd(), Path(os.environ.get("PWD", ".")))
        older = addresses.list_older_folder_names(tracking_uri, parents)
        present = {each.name.casefold(): each for each in folder.glob("*/")}
        names = [name for name in map(str.casefold, older) if name in present]
        return [self._store_subfolder(folder, tracking_uri), *(present[name] for name in names)]

    def _store_subfolder(self, folder: Path, tracking_uri: str) -> Path:
        if tracking_uri == self.local_uri:
            return folder
        identity, path = tracking_uri, addresses.parse_sqlite_path(tracking_uri)
        home = self.root.resolve().parent
        if path is None:
            identity = addresses.identify_store(tracking_uri)
        elif path.is_relative_to(home):  # the same after the folder has moved
            identity = addresses.format_sqlite_uri(path.relative_to(home))
        return folder / addresses.format_folder_name(identity)

    def resolve_tracking_uri(self, uri: str | None = None) -> str:
        """Return `uri`, else $MLFLOW_TRACKING_URI, else the local database, in its usual spelling.

        Raises ConfigError.
        """
        if uri is None:
            uri = os.environ.get(TRACKING_VARIABLE) or None
        return self.local_uri if uri is None else addresses.normalize_tracking_uri(uri)

    @property
    def local_uri(self) -> str:
        return addresses.format_sqlite_uri(self.database.resolve())

    def format_uri(self, tracking_uri: str) -> str:
        """Return a tracking URI as the user can type it in this folder, without its password."""
        if tracking_uri == self.local_uri:
            return addresses.format_sqlite_uri(self.database)
        return mask_credentials(tracking_uri)

    def test_set_log(self, test_digest: str) -> TestSetLog:
        """Return the log of a test set's readings; studies of all stores share it."""
        return TestSetLog.for_test_set(self.test_set_folder, test_digest)

    @property
    def test_set_folder(self) -> Path:
        """The folder of the test set logs."""
        return self.root / "test-sets"

    def open_tracker(self, uri: str | None = None, reading: bool = False) -> Tracker:
        """Open the tracking store directly.

        Imports mlflow, which takes 3 s, except for `reading` a local database. Creates a missing
        local database, unless `reading`.
        Raises ConfigError, StudyError, StoreError.
        """
        return self.tracker_factory(self.resolve_tracking_uri(uri), reading)()

    def open_outbox(
        self,
        name: str,
        uri: str | None = None,
        notify: Callable[[str], None] = lambda _: None,
        stop: StopFlag | None = None,
    ) -> OutboxTracker:
        """Open the tracking store for writing through an outbox; a server may be unreachable.

        Creates a missing local database. The outbox's thread imports mlflow, after the first write.
        Raises ConfigError, StudyError, StoreError.
        """
        from harness.tracking.outbox import SUFFIX, OutboxTracker

        resolved, stop = self.resolve_tracking_uri(uri), stop or StopFlag()
        connect = self.tracker_factory(resolved)
        store = shlex.quote(self.format_uri(resolved))
        sync = "harness sync" + (f" --tracking-uri {store}" if uri else "")
        folder = self.outbox_folder(resolved, f"{name}{SUFFIX}")
        return OutboxTracker(
            folder, name, connect, notify, lambda: stop.requested, sync, load=_import_mlflow
        )

    def is_ready_for_new_studies(self, uri: str) -> bool:
        """Whether a local database is sure to take a new study: it is readable, or will be created.

        Reads it without mlflow. False for a server, and for tables of another version of MLflow.
        """
        from harness.tracking.mlflow.local_store import can_read

        path = addresses.parse_sqlite_path(uri)
        if path is None or not os.access(path.parent, os.W_OK):
            return False
        return not path.exists() or (os.access(path, os.W_OK) and can_read(path))

    def tracker_factory(self, uri: str, reading: bool = False) -> Callable[[], Tracker]:
        """Return a function that opens a tracker in any thread.

        For `reading`, mlflow is imported at once, unless it is not needed for a local database.
        """
        from harness.tracking.mlflow.environment import configure_mlflow

        database = addresses.parse_sqlite_path(uri)
        if database is not None:
            self._check_database(database, reading)
        configure_mlflow(retries=4 if reading else 0)
        if database is not None and reading:
            from harness.tracking.mlflow.local_store import can_read
            from harness.tracking.mlflow.local_tracker import LocalTracker

            def connect_locally() -> Tracker:
                self._follow_move(database)
                return cast("Tracker", LocalTracker(uri, database, self.artifacts))

            if can_read(database):
                return connect_locally
        if reading:
            _import_mlflow()

        def connect() -> Tracker:
            from harness.tracking.mlflow.tracker import MlflowTracker

            with timings.measure("connecting to MLflow"):
                if database is None:
                    _check_server(uri)
                    return MlflowTracker(uri, None)
                self._follow_move(database)
                return MlflowTracker(uri, self.artifacts)

        return connect

    def _follow_move(self, database: Path) -> None:
        """Update the paths that MLflow recorded before this folder was moved or copied."""
        from harness.tracking.mlflow.artifact_locations import update_locations

        for old in update_locations(database, self.artifacts):
            LOGGER.warning("moved from %s: updated the paths in %s", old, database)

    def _check_database(self, path: Path, reading: bool) -> None:
        """Refuse a damaged file at once: SQLAlchemy retries it for minutes."""
        try:
            if reading and not path.is_file():
                names = ", ".join(self.list_unsent())
                advice = f"to send {names}: harness sync" if names else START
                raise StudyError(f"no studies in {path}; {advice}")
            if not reading:
                self.root.mkdir(parents=True, exist_ok=True)
            header = _read_header(path)
        except OSError as error:
            raise StoreError(f"{path}: cannot be used ({error.strerror})") from None
        if header and header != b"SQLite format 3\0":
            raise StoreError(
                f"{path} is not an SQLite database, or it is damaged. It was not changed; move it "
                "away, or restore it from a backup"
            )


def resolve_storage(storage: str | None = None) -> str | None:
    """Return `storage`, else $HARNESS_STORAGE; None for journal files in the workspace."""
    return storage or os.environ.get(STORAGE_VARIABLE) or None


def _import_mlflow() -> None:
    """Import mlflow and what a tracker needs of it, which takes 3 to 5 s."""
    with timings.measure("importing MLflow"):
        import harness.tracking.mlflow.tracker  # noqa: F401


def _check_server(uri: str) -> None:
    """Refuse an unreachable address at once: MLflow retries it for more than a minute."""
    address = urllib.parse.urlsplit(uri)
    scheme = address.scheme.partition("+")[0]
    if scheme not in addresses.DEFAULT_PORTS or not address.hostname:
        return  # a Unix socket, for example
    proxy = find_proxy(uri)
    try:
        if proxy is not None:  # it may reach what this machine cannot
            socket.create_connection(proxy.endpoint, timeout=10).close()
            return
        port = address.port or addresses.DEFAULT_PORTS[scheme]
        socket.create_connection((address.hostname, port), timeout=10).close()
    except (OSError, ValueError) as error:
        where = mask_credentials(uri)
        if proxy is not None:
            raise Unavailable(f"MLflow at {where}: {proxy.describe_failure(error)}") from None
        service = "MLflow server" if scheme.startswith("http") else "database"
        raise Unavailable(
            f"no {service} answers at {where} ({error}); start it, or omit the "
            "tracking address to record in this folder"
        ) from None


@contextmanager
def private_files() -> Iterator[None]:
    """Create files with mode 0600 and folders with 0700 inside the block."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _read_header(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(16)
