"""The folder that a run leaves things in, and the stores in it."""

from __future__ import annotations

import logging
import os
import socket
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ConfigError, StoreError, StudyError, masked

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class Home:
    """`mlruns/` in the current folder, unless told otherwise."""

    root: Path

    def journals(self, tracking_uri: str) -> Path:
        """Where the journals of the studies recorded in that store lie."""
        return self._of_store(self.root / "optuna", tracking_uri)

    @property
    def database(self) -> Path:
        return self.root / "mlflow.db"

    def report(self, study: str, tracking_uri: str) -> Path:
        return self._of_store(self.root / "reports", tracking_uri) / study / "index.html"

    def _of_store(self, folder: Path, tracking_uri: str) -> Path:
        """Each store has its own: the same study in another store is another study."""
        if tracking_uri == self.local_uri:
            return folder
        address = tracking_uri.partition("://")[2].rpartition("@")[2]
        return folder / "".join(c if c.isalnum() or c in "-." else "_" for c in address)[:100]

    def tracking_uri(self, given: str | None = None) -> str:
        """`given`, else $MLFLOW_TRACKING_URI, else the local database."""
        return given or os.environ.get(TRACKING_VARIABLE) or self.local_uri

    @property
    def local_uri(self) -> str:
        return f"sqlite:///{self.database.resolve()}"

    def shown(self, tracking_uri: str) -> str:
        """A tracking URI as the user may give it again from this folder; no password in it."""
        if tracking_uri == self.local_uri:
            return f"sqlite:///{self.database}"
        return masked(tracking_uri)

    def open_tracker(self, given: str | None = None, reading: bool = False) -> Tracker:
        """The record; makes a local database where there is none, but for `reading`.

        Imports mlflow, 3 s. Raises ConfigError, StudyError, StoreError.
        """
        uri = self.tracking_uri(given)
        local = uri.startswith("sqlite:///")
        if not uri.startswith(("sqlite:///", "http://", "https://", "postgresql", "mysql")):
            raise ConfigError(
                f"the tracking address {masked(uri)!r} is none; write http://HOST:PORT or "
                "sqlite:///PATH"
            )
        if local:
            self._check_database(Path(uri.removeprefix("sqlite:///")), reading)
        if uri.startswith("http"):
            _check_server(uri)
        hush_mlflow()
        from harness.tracking.mlflow import MlflowTracker

        return MlflowTracker(uri, (self.root / "artifacts").resolve() if local else None)

    def _check_database(self, path: Path, reading: bool) -> None:
        """SQLAlchemy would try a damaged file for minutes before it says so."""
        if reading and not path.is_file():
            raise StudyError(f"no record in {path}; start with: harness run-study quickstart")
        try:
            if not reading:
                self.root.mkdir(parents=True, exist_ok=True)
            head = _head(path)
        except OSError as error:
            raise StoreError(f"{path}: cannot be used ({error.strerror})") from None
        if head and head != b"SQLite format 3\0":
            raise StoreError(
                f"{path} is no SQLite database or is damaged; it was not touched: move it away, or "
                "give back a copy"
            )


def _check_server(uri: str) -> None:
    """MLflow would try an address where nobody answers for more than a minute."""
    address = urllib.parse.urlsplit(uri)
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=10).close()
    except (OSError, ValueError) as error:
        raise StoreError(
            f"no MLflow server answers at {masked(uri)} ({error}); start it, or leave the tracking "
            "address out to record here"
        ) from None


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(16)


def hush_mlflow() -> None:
    """No telemetry, no chatter about migrations; must come before mlflow is imported."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
    logging.getLogger("alembic").setLevel(logging.WARNING)
