"""The runs of a study and its trials as they are created: tags, name and parent run."""

from __future__ import annotations

import json
from collections.abc import Mapping

from harness.errors import StudyError
from harness.system.addresses import describe_store
from harness.system.failpoints import failpoint
from harness.tracking.mlflow.client import Store
from harness.tracking.mlflow.deleted_runs import build_deleted_error, find_deleted_studies
from harness.tracking.mlflow.experiments import claim_experiment
from harness.tracking.mlflow.naming import list_stale_parts
from harness.tracking.types import CONFIRM_INFIX, SPLIT_TAG, StudyRecord
from harness.trial import Trial

STATUS = {
    "COMPLETE": "FINISHED",
    "PRUNED": "FINISHED",
    "FAILED": "FAILED",
    "INTERRUPTED": "KILLED",
}
"""MLflow's status of a run by its state."""


def trial_tags(trial: Trial, is_single: bool) -> dict[str, str]:
    """Return the tags of a trial's run; `is_single` is for a run of `train` without a study."""
    is_confirmation = trial.confirms is not None
    tags = {
        "harness.kind": "confirm" if is_confirmation else "train" if is_single else "trial",
        "harness.uid": trial.uid,
        "harness.number": str(trial.confirms if is_confirmation else trial.number),
        "harness.attempt": str(trial.attempt),
        "harness.state": "RUNNING",
        "harness.spec": json.dumps(trial.spec.to_dict()),
    }
    return tags | ({SPLIT_TAG: str(trial.split)} if trial.split else {})


def trial_run_name(trial: Trial) -> str:
    """Return a run's name: `012 · 300-100 · adam 1e-03`.

    A confirmation run adds its split, or its seed on the study's own split.
    """
    if trial.confirms is None:
        return f"{trial.number:03d} · {trial.spec.describe()}"
    run = f"split {trial.split}" if trial.split else f"seed {trial.spec.seed}"
    return f"{trial.confirms:03d} · {run} · {trial.spec.describe()}"


def find_or_create_study_run(
    store: Store, experiment_id: str, record: StudyRecord, facts: Mapping[str, str], at: int
) -> str:
    """Return the id of a study's run, with the facts as its tags; `at` in milliseconds.

    Raises StudyError if the run was deleted or lost, or if another study has the experiment.
    """
    run_id = store.find_run_id(record.uid, experiment_id)
    if run_id is not None:
        store.client.update_run(run_id, status="RUNNING")
        store.log(run_id, tags=facts)
        for key in list_stale_parts(store.client.get_run(run_id).data.tags, facts):
            store.client.delete_tag(run_id, key)
        return run_id
    if find_deleted_studies(store, experiment_id, record.uid):
        raise build_deleted_error(record.name)
    if record.continued:
        raise StudyError(
            f"study '{record.name}' has trials in its Optuna record, but is not in "
            f"{describe_store(store.uri)}; restore the store from a backup, or start over with "
            "--fresh"
        )
    tags = {"harness.kind": "study", "harness.uid": record.uid, **facts}
    run_id = store.create_run(experiment_id, record.uid, record.name, tags, at)
    failpoint("mlflow.opened")
    claim_experiment(store, experiment_id, record, run_id)
    return run_id


def find_or_create_parent(store: Store, experiment_id: str, study_run: str, trial: Trial) -> str:
    """Return the parent run's id: the study's run, or for a confirmation run a group below it.

    The group's run is created as finished, because nothing is logged on it.
    """
    if trial.confirms is None:
        return study_run
    uid = trial.uid.partition(CONFIRM_INFIX)[0] + CONFIRM_INFIX.rstrip("/")
    run_id = store.find_run_id(uid, experiment_id)
    if run_id is None:
        tags = {
            "harness.kind": "confirmation",
            "harness.uid": uid,
            "harness.state": "COMPLETE",
            "mlflow.parentRunId": study_run,
        }
        run_id = store.create_run(experiment_id, uid, "confirm", tags, None)
    store.client.set_terminated(run_id, "FINISHED")
    return run_id
