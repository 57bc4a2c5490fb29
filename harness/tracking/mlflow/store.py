"""An MLflow client whose errors are one line and whose runs are found by our uid."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri
from sqlalchemy.exc import SQLAlchemyError

from harness.errors import StoreError, masked


@contextmanager
def in_bulk() -> Iterator[None]:
    """For making objects by the hundred thousand, all of which stay: Python's garbage collector,
    which looks through all of them again and again, takes longer than all the rest."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class Store:
    """One tracking store, local or behind a server. Callers wrap their calls in `errors()`."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        with self.errors():
            self.client = MlflowClient(uri, registry_uri=uri)
        self._run_ids: dict[str, str] = {}

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Whatever the store raises, as a StoreError of one line, the password masked."""
        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            where = masked(self.uri)
            raise StoreError(f"MLflow at {where}: {first.replace(self.uri, where)}") from error

    def remember(self, uid: str, run_id: str) -> str:
        self._run_ids[uid] = run_id
        return run_id

    def find(self, uid: str, experiment_id: str) -> str | None:
        """The id of the run that carries `uid`, ours or another process's."""
        if uid not in self._run_ids:
            with self.errors():
                runs = self.client.search_runs(
                    [experiment_id], f"tags.`harness.uid` = '{uid}'", max_results=1
                )
            if not runs:
                return None
            self.remember(uid, runs[0].info.run_id)
        return self._run_ids[uid]

    def runs(self, experiment_id: str, kind: str) -> list[Run]:
        """All runs of a kind, page by page."""
        runs: list[Run] = []
        token: str | None = None
        with in_bulk():
            while True:
                page = self.client.search_runs(
                    [experiment_id],
                    f"tags.`harness.kind` = '{kind}'",
                    ViewType.ACTIVE_ONLY,
                    max_results=1000,
                    page_token=token,
                )
                runs += page
                token = page.token
                if not token:
                    return runs

    def artifact(self, run: Run, path: str) -> bytes:
        """Straight from the run's folder: MlflowClient looks the run up twice more for each."""
        address = run.info.artifact_uri
        if is_local_uri(address):  # type: ignore[no-untyped-call]
            return Path(local_file_uri_to_path(address), path).read_bytes()  # type: ignore[no-untyped-call]
        repository = get_artifact_repository(address, tracking_uri=self.uri)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "file"
            # Every repository has it; download_artifacts first asks whether the file is a folder.
            repository._download_file(path, str(file))  # type: ignore[no-untyped-call]
            return file.read_bytes()

    def log_bytes(self, run_id: str, name: str, content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(content)
            self.client.log_artifact(run_id, str(path))

    def delete_artifact(self, run_id: str, path: str) -> None:
        """MlflowClient has no way to; the artifact repository beneath it does."""
        root = self.client.get_run(run_id).info.artifact_uri
        repository = get_artifact_repository(root, tracking_uri=self.uri)
        repository.delete_artifacts(path)  # type: ignore[no-untyped-call]
