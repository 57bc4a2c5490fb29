"""The runs that somebody deleted in MLflow, whose trials would otherwise be left out silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import StudyError
from harness.tracking.mlflow.base_store import DELETED_ONLY, BaseStore
from harness.tracking.mlflow.name_holders import UID_TAG
from harness.tracking.types import CONFIRM_INFIX

if TYPE_CHECKING:
    from mlflow.entities import Run


def find_deleted_runs(store: BaseStore, experiment_id: str, uid: str = "") -> dict[str, Run]:
    """Return the deleted runs of an experiment, or of one study in it, by uid.

    A deleted duplicate of a run that is still there is not among them.
    """
    query = f"tags.`harness.uid` LIKE '{uid}%'"
    deleted = {
        run.data.tags[UID_TAG]: run
        for run in store.search_runs([experiment_id], query, DELETED_ONLY)
        if run.data.tags.get("harness.kind") in ("study", "trial", "confirm")
    }
    if not deleted:
        return {}
    active = store.search_runs([experiment_id], query)
    there = {run.data.tags.get(UID_TAG) for run in active}
    return {each: run for each, run in deleted.items() if each not in there}


def find_deleted_studies(store: BaseStore, experiment_id: str, uid: str = "") -> list[str]:
    """Return the uids of the studies, or of one study, whose parent runs were deleted."""
    return [each for each in find_deleted_runs(store, experiment_id, uid) if "/" not in each]


def describe_deleted(store: BaseStore, experiment_id: str, uid: str) -> tuple[str, ...]:
    """Return the trials and confirmation runs whose runs were deleted in MLflow.

    Without the interrupted ones, which count as nothing: their retries have the results.
    """
    trials = set()
    for each, run in find_deleted_runs(store, experiment_id, f"{uid}/").items():
        if run.data.tags.get("harness.state") == "INTERRUPTED":
            continue
        number = f"trial {run.data.tags.get('harness.number', each)}"
        trials.add(f"a fresh seed of {number}" if CONFIRM_INFIX in each else number)
    return tuple(sorted(trials))


def build_deleted_error(name: str) -> StudyError:
    """Return the error for a study whose parent run was deleted."""
    return StudyError(
        f"the run of study '{name}' was deleted in MLflow; restore it with: harness doctor "
        f"--repair {name}"
    )
