"""A trial's run in MLflow, read as a RunRecord."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from harness.errors import StoreError
from harness.tracking.mlflow.base_store import BaseStore
from harness.tracking.mlflow.name_holders import UID_TAG
from harness.tracking.mlflow.naming import join_tags
from harness.tracking.trial_document import parse_trial_document
from harness.tracking.types import RunRecord, State, parse_split
from harness.trial import TrialSpec

if TYPE_CHECKING:
    from mlflow.entities import Run


def read_record(store: BaseStore, run: Run) -> RunRecord:
    record = parse_tags(run)
    if record.state == "RUNNING":
        return record
    try:
        content = store.read_artifact(run, "trial.json")
    except store.file_errors:
        if record.state in ("COMPLETE", "PRUNED"):
            raise
        return record  # it ended before its first epoch, so it has no file
    with damage_as_store_error(f"trial.json of run {run.info.run_id}"):
        return replace(record, **parse_trial_document(json.loads(content)))


@contextmanager
def damage_as_store_error(source: str) -> Iterator[None]:
    """Raise a StoreError for content that harness did not write."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(
            f"{source}: damaged, or not written by harness ({type(error).__name__}: {message}); "
            "`harness doctor` shows details"
        ) from error


def parse_tags(run: Run) -> RunRecord:
    """Return a record from a run's tags alone. Tags that older versions lack have a default."""
    tags = join_tags(run.data.tags)
    with damage_as_store_error(f"tags of run {run.info.run_id}"):
        return RunRecord(
            uid=tags[UID_TAG],
            run_id=run.info.run_id,
            number=int(tags["harness.number"]),
            state=cast(State, tags["harness.state"]),
            spec=TrialSpec.from_dict(json.loads(tags["harness.spec"])),
            reason=tags.get("harness.reason", ""),
            worker=tags.get("harness.worker", ""),
            started=run.info.start_time / 1000,
            ended=run.info.end_time / 1000 if run.info.end_time else None,
            metrics=run.data.metrics,
            environment=json.loads(tags.get("harness.environment", "{}")),
            replay=tags.get("harness.replay", ""),
            split=parse_split(tags),
        )
