"""What the reads of a store share, whether MLflow's client answers or a local database itself.

Nothing here imports mlflow before it asks a store for files that are not local.
"""

from __future__ import annotations

import gc
import tempfile
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import Unavailable
from harness.system.addresses import describe_store

if TYPE_CHECKING:
    from mlflow.entities import Run

ACTIVE_ONLY, DELETED_ONLY, ALL = 1, 2, 3
"""The values of `mlflow.entities.ViewType`."""
READER_THREADS = 8
"""Files read at the same time: each file of a server takes a round trip."""
UNKNOWN_CODES = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""MLflow's `error_code` for a run, a model or an experiment that does not exist."""


@contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """Pause Python's garbage collector while hundreds of thousands of objects are created.

    The collector scans all of them again and again, and takes longer than everything else.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class BaseStore(ABC):
    """A tracking store to read from. Callers wrap their calls in `map_errors()`."""

    client: Any
    """An MlflowClient, or what has its methods that read."""
    file_errors: tuple[type[Exception], ...] = (OSError,)
    """What the read of a file raises if the file is missing."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._run_ids: dict[str, str] = {}

    @abstractmethod
    def map_errors(self) -> AbstractContextManager[None]:
        """Raise errors as a StoreError of one line without passwords.

        It is an Unavailable if a retry may succeed.
        """

    @abstractmethod
    def search_runs(
        self, experiment_ids: Sequence[str], query: str = "", view: int = ACTIVE_ONLY
    ) -> list[Run]:
        """Return all runs that match a query."""

    @abstractmethod
    def read_curves(self, runs: Sequence[Run], keys: Sequence[str]) -> list[tuple[str, Any]]:
        """Return (run id, metric) of every point of the metrics `keys` of many runs."""

    def remember_run(self, uid: str, run_id: str) -> str:
        """Remember the id of a new run, and return it."""
        if not run_id:  # MLflow's client returns this for an empty answer
            raise Unavailable(f"MLflow at {describe_store(self.uri)}: the response is empty")
        self._run_ids[uid] = run_id
        return run_id

    def find_run_id(self, uid: str, experiment_id: str) -> str | None:
        """Return the id of the run with a uid, which another process may have created."""
        if uid not in self._run_ids:
            with self.map_errors():
                runs = self.client.search_runs([experiment_id], f"tags.`harness.uid` = '{uid}'")
            if not runs:
                return None
            self.remember_run(uid, self._choose_run(runs).info.run_id)
        return self._run_ids[uid]

    def find_study_runs(self, uid: str) -> list[Run]:
        """Return the study runs with a uid, in whatever experiment they are."""
        experiments = [each.experiment_id for each in self.client.search_experiments()]
        query = f"tags.`harness.uid` = '{uid}' AND tags.`harness.kind` = 'study'"
        return self.search_runs(experiments, query)

    def list_runs(self, experiment_id: str, kind: str) -> list[Run]:
        """Return all runs of a kind, one of each uid."""
        return [self._choose_run(runs) for runs in self._group_by_uid(experiment_id, kind).values()]

    def _choose_run(self, runs: Sequence[Run]) -> Run:
        """Return the run that this process writes to, else the one with the most content."""
        written = self._run_ids.get(runs[0].data.tags["harness.uid"])
        mine = [run for run in runs if run.info.run_id == written]
        return max(
            mine or runs,
            key=lambda run: (len(run.data.params), len(run.data.metrics), len(run.data.tags)),
        )

    def _group_by_uid(self, experiment_id: str, kind: str) -> dict[str, list[Run]]:
        groups: dict[str, list[Run]] = {}
        for run in self.search_runs([experiment_id], f"tags.`harness.kind` = '{kind}'"):
            groups.setdefault(run.data.tags.get("harness.uid", ""), []).append(run)
        return groups

    def read_artifact(self, run: Run, path: str) -> bytes:
        """Read a file of a run from its folder: MlflowClient would look the run up twice more."""
        return self.read_artifact_at(run.info.artifact_uri, path)

    def read_artifact_at(self, address: str, path: str) -> bytes:
        """Read a file by the address of its run's folder."""
        folder = parse_local_folder(address)
        if folder is not None:
            return Path(folder, path).read_bytes()
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "file"
            # All repositories have this method; download_artifacts first checks for a folder.
            self._open_repository(address)._download_file(path, str(file))
            return file.read_bytes()

    def list_files(self, address: str) -> list[str]:
        """Return the names of the files in a run's folder."""
        folder = parse_local_folder(address)
        if folder is not None:
            # MLflow's own list fails if one file cannot be read.
            return [file.name for file in folder.glob("*") if not file.is_dir()]
        files = self._open_repository(address).list_artifacts()
        return [file.path for file in files if not file.is_dir]

    def list_names(self, address: str) -> list[str]:
        """Return the names of the files and folders in a model's folder."""
        folder = parse_local_folder(address)
        if folder is not None:
            return [file.name for file in folder.glob("*")]
        return [file.path for file in self._open_repository(address).list_artifacts()]

    def _open_repository(self, address: str) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(address, tracking_uri=self.uri)


def parse_local_folder(address: str) -> Path | None:
    """Return the folder of this machine that an address of files names; None for another one."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme == "file" and parts.netloc in ("", "localhost", "127.0.0.1"):
        return Path(urllib.request.url2pathname(parts.path))
    return Path(urllib.request.url2pathname(address)) if not parts.scheme else None
