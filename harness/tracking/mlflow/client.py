"""An MLflow client whose errors are one line and whose runs are found by our uid."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run, RunTag, ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from harness.errors import StoreError, Unavailable, masked
from harness.tracking.mlflow.error_mapping import CAUGHT, explained, tells_secrets, without_secrets
from harness.tracking.mlflow.naming import digest_tags
from harness.tracking.mlflow.sqlite import make_whole


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
        """Makes a local database where there is none; asks a server for nothing."""
        self.uri = uri
        with self.errors():
            try:
                make_whole(uri)
                self.client = MlflowClient(uri, registry_uri=uri)
            except ValueError as error:
                why = without_secrets(str(error), uri)
                raise StoreError(f"the address {masked(uri)} cannot be used ({why})") from None
        self._run_ids: dict[str, str] = {}

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Whatever the store raises, as a StoreError of one line, the password masked; as an
        Unavailable where it may pass."""
        try:
            yield
        except CAUGHT as error:
            hidden = tells_secrets(error, self.uri)
            raise explained(error, self.uri) from None if hidden else error

    def remember(self, uid: str, run_id: str) -> str:
        if not run_id:  # what MLflow's client makes of an empty answer
            raise Unavailable(f"MLflow at {masked(self.uri)}: its answer is empty")
        self._run_ids[uid] = run_id
        return run_id

    def find(self, uid: str, experiment_id: str) -> str | None:
        """The id of the run that carries `uid`, ours or another process's."""
        if uid not in self._run_ids:
            with self.errors():
                runs = self.client.search_runs([experiment_id], f"tags.`harness.uid` = '{uid}'")
            if not runs:
                return None
            self.remember(uid, self._used(runs).info.run_id)
        return self._run_ids[uid]

    def runs(self, experiment_id: str, kind: str) -> list[Run]:
        """All runs of a kind, page by page; one of each uid."""
        return [self._used(runs) for runs in self._by_uid(experiment_id, kind).values()]

    def delete_doubles(self, experiment_id: str) -> None:
        """What a server made of a request that was given up before, and made again."""
        for kind in ("study", "trial", "confirm", "confirmation"):
            for runs in self._by_uid(experiment_id, kind).values():
                used = self._used(runs).info.run_id
                for run in runs:
                    if run.info.run_id != used:
                        self.client.delete_run(run.info.run_id)

    def _used(self, runs: Sequence[Run]) -> Run:
        """The one of these with one uid that we write to, else the one with most on it."""
        written = self._run_ids.get(runs[0].data.tags["harness.uid"])
        mine = [run for run in runs if run.info.run_id == written]
        return max(
            mine or runs,
            key=lambda run: (len(run.data.params), len(run.data.metrics), len(run.data.tags)),
        )

    def _by_uid(self, experiment_id: str, kind: str) -> dict[str, list[Run]]:
        runs: dict[str, list[Run]] = {}
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
                for run in page:
                    runs.setdefault(run.data.tags["harness.uid"], []).append(run)
                token = page.token
                if not token:
                    return runs

    def artifact(self, run: Run, path: str) -> bytes:
        """Straight from the run's folder: MlflowClient looks the run up twice more for each."""
        return self.artifact_at(run.info.artifact_uri, path)

    def artifact_at(self, address: str, path: str) -> bytes:
        """The same by the address of the run's folder."""
        if is_local_uri(address):  # type: ignore[no-untyped-call]
            return Path(local_file_uri_to_path(address), path).read_bytes()  # type: ignore[no-untyped-call]
        repository = get_artifact_repository(address, tracking_uri=self.uri)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "file"
            # Every repository has it; download_artifacts first asks whether the file is a folder.
            repository._download_file(path, str(file))  # type: ignore[no-untyped-call]
            return file.read_bytes()

    def log_bytes(self, run_id: str, name: str, content: bytes) -> None:
        """Keep a file on a run, and its SHA-256 as a tag."""
        self.log_files(run_id, {name: content})
        tags = [RunTag(key, value) for key, value in digest_tags({name: content}).items()]
        self.client.log_batch(run_id, tags=tags, synchronous=True)

    def log_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """The same for several; their tags are the caller's to write, with others."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                Path(folder, name).write_bytes(content)
            self.client.log_artifacts(run_id, folder)

    def delete_file(self, run_id: str, name: str) -> None:
        """And its digest. MlflowClient has no way to; the artifact repository beneath it does."""
        run = self.client.get_run(run_id)
        if any(file.path == name for file in self.client.list_artifacts(run_id)):
            repository = get_artifact_repository(run.info.artifact_uri, tracking_uri=self.uri)
            repository.delete_artifacts(name)  # type: ignore[no-untyped-call]
        for key in digest_tags({name: b""}):
            if key in run.data.tags:
                self.client.delete_tag(run_id, key)
