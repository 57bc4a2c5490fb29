"""A trial's run as it begins: its tags, its name, the run that it stands under."""

from __future__ import annotations

import json

from harness.tracking.mlflow.client import Store
from harness.tracking.types import CONFIRMING
from harness.trial import Trial


def tags_of(trial: Trial, alone: bool) -> dict[str, str]:
    """`alone` for a run of `train`, which belongs to no study."""
    again = trial.confirms is not None
    return {
        "harness.kind": "confirm" if again else "train" if alone else "trial",
        "harness.uid": trial.uid,
        "harness.number": str(trial.confirms if again else trial.number),
        "harness.attempt": str(trial.attempt),
        "harness.state": "RUNNING",
        "harness.spec": json.dumps(trial.spec.to_dict()),
    }


def name_of(trial: Trial) -> str:
    """`012 · 300-100 · adam 1e-03`; of a confirming run its seed is told too."""
    if trial.confirms is None:
        return f"{trial.number:03d} · {trial.spec.describe()}"
    return f"{trial.confirms:03d} · seed {trial.spec.seed} · {trial.spec.describe()}"


def parent_of(store: Store, experiment_id: str, study_run: str, trial: Trial) -> str:
    """The study's own run; for a confirming one, a run in it that holds them together.

    That has ended from the start: nothing happens in it.
    """
    if trial.confirms is None:
        return study_run
    uid = trial.uid.partition(CONFIRMING)[0] + CONFIRMING.rstrip("/")
    found = store.find(uid, experiment_id)
    if found is None:
        tags = {
            "harness.kind": "confirmation",
            "harness.uid": uid,
            "harness.state": "COMPLETE",
            "mlflow.parentRunId": study_run,
        }
        run = store.client.create_run(experiment_id, None, tags, "confirm")
        found = store.remember(uid, run.info.run_id)
    store.client.set_terminated(found, "FINISHED")
    return found
