"""A trial's run as it is created: tags, name and parent run."""

from __future__ import annotations

import json

from harness.tracking.mlflow.client import Store
from harness.tracking.types import CONFIRM_INFIX
from harness.trial import Trial


def trial_tags(trial: Trial, is_single: bool) -> dict[str, str]:
    """Return the tags of a trial's run; `is_single` is for a run of `train` without a study."""
    is_confirmation = trial.confirms is not None
    return {
        "harness.kind": "confirm" if is_confirmation else "train" if is_single else "trial",
        "harness.uid": trial.uid,
        "harness.number": str(trial.confirms if is_confirmation else trial.number),
        "harness.attempt": str(trial.attempt),
        "harness.state": "RUNNING",
        "harness.spec": json.dumps(trial.spec.to_dict()),
    }


def trial_run_name(trial: Trial) -> str:
    """Return a run's name: `012 · 300-100 · adam 1e-03`. A confirmation run adds its seed."""
    if trial.confirms is None:
        return f"{trial.number:03d} · {trial.spec.describe()}"
    return f"{trial.confirms:03d} · seed {trial.spec.seed} · {trial.spec.describe()}"


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
        run = store.client.create_run(experiment_id, None, tags, "confirm")
        run_id = store.remember_run(uid, run.info.run_id)
    store.client.set_terminated(run_id, "FINISHED")
    return run_id
