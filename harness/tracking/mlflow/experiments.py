"""The experiment that a study's runs lie in: made with its view, found again, set aside."""

from __future__ import annotations

from pathlib import Path

from mlflow.entities import RunTag

from harness.config.schema import GRID_OR_LIST, varied_fields
from harness.errors import StoreError, masked
from harness.metrics import score_of
from harness.system.failpoints import failpoint
from harness.tracking.mlflow import saved_view
from harness.tracking.mlflow.client import Store
from harness.tracking.types import PUT_ASIDE, StudyRecord


def experiment_of(store: Store, record: StudyRecord, artifacts: Path | None) -> str:
    """Its id. One of an older study that --fresh put aside gets another name first.

    `artifacts` is where a local store keeps files. Callers wrap this in `store.errors()`.
    """
    found = store.client.get_experiment_by_name(record.name)
    if found is not None and found.lifecycle_stage == "deleted":
        raise StoreError(
            f"the experiment '{record.name}' was deleted in {masked(store.uri)}; give the study "
            f"another name, or restore it: MLFLOW_TRACKING_URI={masked(store.uri)} mlflow "
            f"experiments restore -x {found.experiment_id}"
        )
    if found is not None and record.set_aside and not _holds(store, found.experiment_id, record):
        name = f"{record.name}.{record.set_aside}"
        if store.client.get_experiment_by_name(name) is None:  # else it was put aside before
            _end(store, found.experiment_id)
            store.client.rename_experiment(found.experiment_id, name)
            found = None
    if found is not None:
        return str(found.experiment_id)
    location = (artifacts / record.name).as_uri() if artifacts else None
    definition = record.definition
    sampled = varied_fields(definition) or list(saved_view.SETTINGS)
    if definition["study"].get("sampler") in GRID_OR_LIST:
        sampled.append("seed")
    network = "model" if definition.get("code") else "hidden"
    score = score_of(definition)
    tags = saved_view.tags(definition["study"]["objective"], record.kind, sampled, network, score)
    made = str(store.client.create_experiment(record.name, location, tags))
    failpoint("mlflow.experiment")
    return made


def _end(store: Store, experiment_id: str) -> None:
    """What a driver that died left running in a study that is put aside; see search/opening.py."""
    ended = {"trial": "FAILED", "confirm": "INTERRUPTED", "study": "INTERRUPTED"}
    for kind, state in ended.items():
        for run in store.runs(experiment_id, kind):
            if run.info.status == "RUNNING":
                tags = [RunTag("harness.state", state), RunTag("harness.reason", PUT_ASIDE)]
                store.client.log_batch(run.info.run_id, tags=tags, synchronous=True)
                status = "FAILED" if state == "FAILED" else "KILLED"
                store.client.set_terminated(run.info.run_id, status)


def _holds(store: Store, experiment_id: str, record: StudyRecord) -> bool:
    """Whether the study is in this experiment already, rather than the one set aside."""
    return any(
        run.data.tags["harness.uid"] == record.uid for run in store.runs(experiment_id, "study")
    )
