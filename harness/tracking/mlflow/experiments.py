"""Find, create and set aside the experiment of a study."""

from __future__ import annotations

from pathlib import Path

from mlflow.entities import RunTag

from harness.config.schema import GRID_OR_LIST, find_varied_fields
from harness.errors import StoreError, mask_credentials
from harness.metrics import read_score
from harness.system.failpoints import failpoint
from harness.tracking.mlflow import saved_view
from harness.tracking.mlflow.client import Store
from harness.tracking.types import SET_ASIDE_REASON, StudyRecord


def find_or_create_experiment(store: Store, record: StudyRecord, artifacts: Path | None) -> str:
    """Return the experiment's id; renames that of an older study that --fresh set aside.

    `artifacts` is the folder of a local store's files. Callers wrap this in `store.map_errors()`.
    """
    experiment = store.client.get_experiment_by_name(record.name)
    if experiment is not None and experiment.lifecycle_stage == "deleted":
        raise StoreError(
            f"the experiment '{record.name}' was deleted in {mask_credentials(store.uri)}; rename "
            f"the study, or restore the experiment: MLFLOW_TRACKING_URI="
            f"{mask_credentials(store.uri)} mlflow experiments restore -x "
            f"{experiment.experiment_id}"
        )
    if experiment is not None and record.set_aside:
        name = f"{record.name}.{record.set_aside}"
        is_older = not _holds_study(store, experiment.experiment_id, record)
        if is_older and store.client.get_experiment_by_name(name) is None:  # not set aside yet
            _end_running_runs(store, experiment.experiment_id)
            store.client.rename_experiment(experiment.experiment_id, name)
            experiment = None
    if experiment is not None:
        return str(experiment.experiment_id)
    location = (artifacts / record.name).as_uri() if artifacts else None
    definition = record.definition
    sampled = find_varied_fields(definition) or list(saved_view.DEFAULT_COLUMNS)
    if definition["study"].get("sampler") in GRID_OR_LIST:
        sampled.append("seed")
    network = "model" if definition.get("code") else "hidden"
    score = read_score(definition)
    tags = saved_view.view_tags(
        definition["study"]["objective"], record.kind, sampled, network, score
    )
    experiment_id = str(store.client.create_experiment(record.name, location, tags))
    failpoint("mlflow.experiment")
    return experiment_id


def _end_running_runs(store: Store, experiment_id: str) -> None:
    """End the runs that a dead driver left running in a study that is set aside.

    See search/open_study.py, which does the same in the Optuna record.
    """
    end_states = {"trial": "FAILED", "confirm": "INTERRUPTED", "study": "INTERRUPTED"}
    for kind, state in end_states.items():
        for run in store.list_runs(experiment_id, kind):
            if run.info.status == "RUNNING":
                tags = [RunTag("harness.state", state), RunTag("harness.reason", SET_ASIDE_REASON)]
                store.client.log_batch(run.info.run_id, tags=tags, synchronous=True)
                status = "FAILED" if state == "FAILED" else "KILLED"
                store.client.set_terminated(run.info.run_id, status)


def _holds_study(store: Store, experiment_id: str, record: StudyRecord) -> bool:
    """Whether the experiment already holds the new study, not the one to set aside."""
    return any(
        run.data.tags["harness.uid"] == record.uid
        for run in store.list_runs(experiment_id, "study")
    )
