"""Find, create and set aside the experiment of a study.

An experiment belongs to one study, known by its uid: its tag `harness.uid`, or the uids of its
study runs in records that are older than the tag. MLflow creates only one experiment of a name, so
the first of two drivers that start at once holds the name, and the other is refused.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException

from harness.errors import StoreError, StudyError, mask_credentials
from harness.system.addresses import describe_store
from harness.system.failpoints import failpoint
from harness.tracking.mlflow import saved_view
from harness.tracking.mlflow.client import Store
from harness.tracking.mlflow.name_holders import UID_TAG, read_holder
from harness.tracking.name_holder import NameHolder
from harness.tracking.types import ORIGIN_FACTS, SET_ASIDE_REASON, StudyRecord


def find_or_create_experiment(store: Store, record: StudyRecord, artifacts: Path | None) -> str:
    """Return the experiment's id; renames that of an older study that --fresh set aside.

    `artifacts` is the folder of a local store's files. Callers wrap this in `store.map_errors()`.
    Raises StudyError if another study holds the name.
    """
    experiment = find_experiment(store, record, artifacts)
    if experiment is not None and _is_set_aside(store, experiment, record):
        _end_running_runs(store, experiment.experiment_id)
        name, number = f"{record.name}.{record.set_aside}", 1
        while store.client.get_experiment_by_name(name) is not None:
            number += 1
            name = f"{record.name}.{record.set_aside}-{number}"
        store.client.rename_experiment(experiment.experiment_id, name)
        experiment = None
    if experiment is None:
        experiment = _create_experiment(store, record, artifacts)
    return str(experiment.experiment_id)


def find_experiment(store: Store, record: StudyRecord, artifacts: Path | None) -> Experiment | None:
    """Return the experiment to write to or to set aside; None if the name is free.

    Raises StudyError if another study holds the name, StoreError if the experiment was deleted.
    """
    experiment = store.client.get_experiment_by_name(record.name)
    if experiment is not None and experiment.lifecycle_stage == "deleted":
        raise StoreError(
            f"the experiment '{record.name}' was deleted in {describe_store(store.uri)}; rename "
            f"the study, or restore the experiment: MLFLOW_TRACKING_URI="
            f"{shlex.quote(mask_credentials(store.uri))} mlflow experiments restore -x "
            f"{experiment.experiment_id}"
        )
    if record.kind == "train":
        return experiment
    holder = read_holder(store, experiment) if experiment is not None else NameHolder()
    if record.uid in holder.uids:
        return experiment
    if record.continued:
        runs = store.find_study_runs(record.uid)
        if runs:  # the experiment was renamed in MLflow
            return store.client.get_experiment(runs[0].info.experiment_id)
    if experiment is not None and not _may_use(holder, record, artifacts):
        raise _taken_error(store, experiment, holder, record, artifacts)
    if experiment is None and not record.continued and not record.set_aside:
        _reject_taken_model(store, record.name)
    return experiment


def check_name(store: Store, record: StudyRecord, artifacts: Path | None) -> NameHolder:
    """Return who holds the study's name. Raises StudyError if another study does."""
    with store.map_errors():
        experiment = find_experiment(store, record, artifacts)
        return read_holder(store, experiment) if experiment else NameHolder()


def claim_experiment(store: Store, experiment_id: str, record: StudyRecord, run_id: str) -> None:
    """Mark an experiment that harness did not create as the study's, after its run was created.

    If another driver did the same at this moment, the run is deleted. Raises StudyError.
    """
    experiment = store.client.get_experiment(experiment_id)
    if UID_TAG in experiment.tags:
        return
    holder = read_holder(store, experiment)
    if holder.uids - {record.uid}:
        store.client.delete_run(run_id)
        raise _taken_error(store, experiment, holder, record, None)
    store.client.set_experiment_tag(experiment_id, UID_TAG, record.uid)


def set_view(
    store: Store, experiment_id: str, definition: Mapping[str, Any], metrics: Collection[str] = ()
) -> None:
    """Update the saved view of a study; `metrics` were recorded on its trials when it ended."""
    for key, value in saved_view.build_view_tags(definition, "study", metrics).items():
        store.client.set_experiment_tag(experiment_id, key, value)


def _create_experiment(store: Store, record: StudyRecord, artifacts: Path | None) -> Experiment:
    location = (artifacts / record.name).as_uri() if artifacts else None
    tags = saved_view.build_view_tags(record.definition, record.kind)
    if record.kind == "study":
        facts = {key: record.facts[key] for key in ORIGIN_FACTS if key in record.facts}
        tags |= {UID_TAG: record.uid, **{f"harness.{key}": facts[key] for key in facts}}
    try:
        store.client.create_experiment(record.name, location, tags)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    experiment = find_experiment(store, record, artifacts)  # another driver may have been first
    assert experiment is not None
    failpoint("mlflow.experiment")
    return experiment


def _is_set_aside(store: Store, experiment: Experiment, record: StudyRecord) -> bool:
    """Whether the experiment is that of the older study, which --fresh sets aside."""
    uids = read_holder(store, experiment).uids
    return record.kind == "study" and bool(uids) and record.uid not in uids


def _may_use(holder: NameHolder, record: StudyRecord, artifacts: Path | None) -> bool:
    """Whether an experiment is free to use, or to set aside as the study's own older one."""
    if not holder.uids:
        return True  # made by hand, or by `harness train`
    if not record.set_aside or len(holder.uids) > 1:
        return False
    if record.set_aside_uid:
        return holder.uids == {record.set_aside_uid}
    return holder.is_from(record.facts, artifacts)


def _taken_error(
    store: Store,
    experiment: Experiment,
    holder: NameHolder,
    record: StudyRecord,
    artifacts: Path | None,
) -> StudyError:
    """Return the error that names the study that holds a name, and what to do."""
    uids, origin = sorted(holder.uids - {record.uid}), holder.origin
    who = ""
    if origin:
        who = f" by {origin.get('user')}@{origin.get('host')} in {origin.get('folder')}"
    created = (experiment.creation_time or 0) / 1000
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(created))
    studies = " and ".join(uids)
    advice = f"choose another name (--set study.name={record.name}-2) or another --tracking-uri"
    if len(uids) == 1 and not record.set_aside:
        if holder.is_from(record.facts, artifacts) and (origin or artifacts):
            advice += (
                "; to continue that study, restore its Optuna record from a backup; to start over, "
                "use --fresh, which keeps it under another name"
            )
        else:
            advice += ", or continue that study where it was started"
    return StudyError(
        f"the name '{record.name}' is taken in {describe_store(store.uri)} by another study, "
        f"{studies}, started {when}{who}; {advice}"
    )


def _reject_taken_model(store: Store, name: str) -> None:
    """Raise StudyError if a registered model has the name, and it is not an older study's.

    The study would move its alias `champion`.
    """
    for version in store.client.search_model_versions(f"name = '{name}'"):
        owner = "somebody else"
        if version.tags.get("harness.trial_run"):
            try:
                run = store.client.get_run(version.run_id or "")
            except MlflowException:
                continue  # deleted for good
            owner = store.client.get_experiment(run.info.experiment_id).name
            if owner == name or owner.startswith(f"{name}."):
                continue  # set aside by --fresh
            owner = f"study '{owner}'"
        raise StudyError(
            f"the registered model '{name}' in {describe_store(store.uri)} was made by {owner}; "
            f"choose another name (--set study.name={name}-2) or another --tracking-uri"
        )


def _end_running_runs(store: Store, experiment_id: str) -> None:
    """End the runs that a dead driver left running in a study that is set aside.

    See search/open_study.py, which does the same in the Optuna record.
    """
    end_states = {"trial": "FAILED", "confirm": "INTERRUPTED", "study": "INTERRUPTED"}
    for kind, state in end_states.items():
        for run in store.list_runs(experiment_id, kind):
            if run.info.status == "RUNNING":
                tags = {"harness.state": state, "harness.reason": SET_ASIDE_REASON}
                store.log(run.info.run_id, tags=tags)
                status = "FAILED" if state == "FAILED" else "KILLED"
                store.client.set_terminated(run.info.run_id, status)
