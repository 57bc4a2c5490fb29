"""An MLflow client whose errors are one line and that finds runs by uid."""

from __future__ import annotations

import gc
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking._tracking_service import utils as tracking_utils
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from harness.errors import StoreError, Unavailable
from harness.system.addresses import describe_store
from harness.tracking.mlflow.error_mapping import (
    CLIENT_ERRORS,
    map_error,
    mask_secrets,
    reveals_secrets,
)
from harness.tracking.mlflow.naming import (
    MAX_RUN_NAME_LENGTH,
    digest_tags,
    shorten,
    split_tags,
)
from harness.tracking.mlflow.sqlite import create_database

MAX_METRICS_PER_CALL, MAX_TAGS_PER_CALL = 800, 100
"""MLflow's limits for one log_batch: 1,000 entities, of them 100 tags and 100 parameters."""


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


class Store:
    """A tracking store, local or behind a server. Callers wrap their calls in `map_errors()`."""

    def __init__(self, uri: str) -> None:
        """Create a missing local database; does not connect to a server."""
        self.uri = uri
        with self.map_errors():
            try:
                create_database(uri)
                # MLflow remembers the folders of runs by id alone; in a copied store they differ.
                tracking_utils._artifact_repos_cache.clear()
                self.client = MlflowClient(uri, registry_uri=uri)
            except ValueError as error:
                why = mask_secrets(str(error), uri)
                address = describe_store(uri)
                raise StoreError(f"the address {address} cannot be used ({why})") from None
        self._run_ids: dict[str, str] = {}

    @contextmanager
    def map_errors(self) -> Iterator[None]:
        """Raise the client's errors as a StoreError of one line without passwords.

        It is an Unavailable if a retry may succeed.
        """
        try:
            yield
        except CLIENT_ERRORS as error:
            is_secret = reveals_secrets(error, self.uri)
            raise map_error(error, self.uri) from None if is_secret else error

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

    def delete_duplicate_runs(self, experiment_id: str, study: str) -> None:
        """Delete a study's extra runs: a request that timed out and was retried created them."""
        for kind in ("study", "trial", "confirm", "confirmation"):
            for uid, runs in self._group_by_uid(experiment_id, kind).items():
                if uid.partition("/")[0] != study:
                    continue
                used = self._choose_run(runs).info.run_id
                for run in runs:
                    if run.info.run_id != used:
                        self.client.delete_run(run.info.run_id)

    def search_runs(
        self, experiment_ids: Sequence[str], query: str = "", view: int = ViewType.ACTIVE_ONLY
    ) -> list[Run]:
        """Return all runs that match a query, page by page."""
        runs: list[Run] = []
        token: str | None = None
        with pause_garbage_collection():
            while True:
                page = self.client.search_runs(
                    list(experiment_ids), query, view, max_results=1000, page_token=token
                )
                runs += page
                token = page.token
                if not token:
                    return runs

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

    def create_run(
        self, experiment_id: str, uid: str, name: str, tags: Mapping[str, str], at: int | None
    ) -> str:
        """Create a run and return its id; `at` in milliseconds."""
        name = shorten(name, MAX_RUN_NAME_LENGTH)
        run = self.client.create_run(experiment_id, at, split_tags(tags), name)
        return self.remember_run(uid, run.info.run_id)

    def log(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log a batch of any size, in as many calls as MLflow's limits need."""
        run_tags = [RunTag(key, value) for key, value in split_tags(tags or {}).items()]
        batches = max(
            math.ceil(len(metrics) / MAX_METRICS_PER_CALL),
            math.ceil(max(len(params), len(run_tags)) / MAX_TAGS_PER_CALL),
        )
        for place in range(batches):
            many = slice(place * MAX_METRICS_PER_CALL, (place + 1) * MAX_METRICS_PER_CALL)
            few = slice(place * MAX_TAGS_PER_CALL, (place + 1) * MAX_TAGS_PER_CALL)
            self.client.log_batch(
                run_id, metrics[many], params[few], run_tags[few], synchronous=True
            )

    def read_artifact(self, run: Run, path: str) -> bytes:
        """Read a file of a run from its folder: MlflowClient would look the run up twice more."""
        return self.read_artifact_at(run.info.artifact_uri, path)

    def read_artifact_at(self, address: str, path: str) -> bytes:
        """Read a file by the address of its run's folder."""
        if is_local_uri(address):  # type: ignore[no-untyped-call]
            return Path(local_file_uri_to_path(address), path).read_bytes()  # type: ignore[no-untyped-call]
        repository = get_artifact_repository(address, tracking_uri=self.uri)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "file"
            # All repositories have this method; download_artifacts first checks for a folder.
            repository._download_file(path, str(file))  # type: ignore[no-untyped-call]
            return file.read_bytes()

    def log_file(self, run_id: str, name: str, content: bytes) -> None:
        """Write a file of a run, and its SHA-256 as a tag."""
        self.log_files(run_id, {name: content})
        self.log(run_id, tags=digest_tags({name: content}))

    def log_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Write several files of a run; the caller writes their digests with other tags."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                Path(folder, name).write_bytes(content)
            self.client.log_artifacts(run_id, folder)

    def delete_file(self, run_id: str, name: str) -> None:
        """Delete a file and its digest, through the repository: MlflowClient has no method."""
        run = self.client.get_run(run_id)
        if any(file.path == name for file in self.client.list_artifacts(run_id)):
            repository = get_artifact_repository(run.info.artifact_uri, tracking_uri=self.uri)
            repository.delete_artifacts(name)  # type: ignore[no-untyped-call]
        for key in digest_tags({name: b""}):
            if key in run.data.tags:
                self.client.delete_tag(run_id, key)
