"""An MLflow client whose errors are one line and that finds runs by uid."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking._tracking_service import utils as tracking_utils

from harness.errors import StoreError
from harness.system.addresses import describe_store
from harness.tracking.mlflow.base_store import (
    ACTIVE_ONLY,
    READER_THREADS,
    BaseStore,
    pause_garbage_collection,
)
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


class Store(BaseStore):
    """A tracking store that MLflow's client reads and writes, local or behind a server."""

    client: MlflowClient
    file_errors = (MlflowException, OSError)

    def __init__(self, uri: str) -> None:
        """Create a missing local database; does not connect to a server."""
        super().__init__(uri)
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
        self, experiment_ids: Sequence[str], query: str = "", view: int = ACTIVE_ONLY
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

    def read_curves(self, runs: Sequence[Run], keys: Sequence[str]) -> list[tuple[str, Metric]]:
        """MlflowClient reads one metric of one run at a time.

        A database is read for all runs at once, and a server by several threads.
        """
        tracking = self.client._tracking_client.store
        if hasattr(tracking, "get_metric_history_bulk"):
            ids = [run.info.run_id for run in runs]
            return [
                (metric.run_id, metric)
                for key in keys
                for metric in tracking.get_metric_history_bulk(ids, key, 2**31 - 1)
            ]
        pairs = [(run.info.run_id, key) for run in runs for key in run.data.metrics if key in keys]

        def read_history(pair: tuple[str, str]) -> list[Metric]:
            return list(self.client.get_metric_history(*pair))

        with ThreadPoolExecutor(READER_THREADS) as pool:
            histories = zip(pairs, pool.map(read_history, pairs), strict=True)
            return [(run_id, metric) for (run_id, _), metrics in histories for metric in metrics]

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
