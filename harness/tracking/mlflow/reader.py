"""Read studies and trials from MLflow's runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, cast

from harness.errors import StoreError, StudyError, Unavailable
from harness.tracking.mlflow import saved_view
from harness.tracking.mlflow.base_store import (
    READER_THREADS,
    UNKNOWN_CODES,
    BaseStore,
    pause_garbage_collection,
)
from harness.tracking.mlflow.deleted_runs import (
    build_deleted_error,
    describe_deleted,
    find_deleted_studies,
)
from harness.tracking.mlflow.name_holders import UID_TAG
from harness.tracking.mlflow.naming import CLASSES_TAG, DEFINITION_TAG, join_tags
from harness.tracking.mlflow.run_records import damage_as_store_error, parse_tags, read_record
from harness.tracking.raw_types import READINGS_FILE
from harness.tracking.test_reading import TestReading
from harness.tracking.types import (
    CONFIRM_FACT,
    CONFIRM_INFIX,
    UNCONFIRMED,
    RunRecord,
    State,
    StudyRun,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

NON_FACT_TAGS = (
    *("kind", "uid", "classes", "definition", "state", "reason"),
    *("number", "attempt", "spec", "worker", "sha256", "environment", "replay"),
)
"""The tags `harness.*` that are not facts of a study: they have fields of their own."""


def read_study(store: BaseStore, name: str, uid: str = "") -> StudyRun | None:
    """Return a study with its trials' learning curves, which are in one file a run.

    With a `uid`, it is found under any name. Raises StudyError if two studies have the name, or if
    the study's run was deleted.
    """
    with store.map_errors():
        experiment = store.client.get_experiment_by_name(name)
        parents = store.list_runs(experiment.experiment_id, "study") if experiment else []
        if uid:
            parents = [run for run in parents if run.data.tags[UID_TAG] == uid]
            parents = parents or store.find_study_runs(uid)[:1]
        if len(parents) > 1:
            raise StudyError(_list_studies_of_one_name(name, parents))
        if parents:
            parent_name = name
            if experiment is None or parents[0].info.experiment_id != experiment.experiment_id:
                parent_name = store.client.get_experiment(parents[0].info.experiment_id).name
            return _read_with_curves(store, parent_name, parents[0])
        if experiment and find_deleted_studies(store, experiment.experiment_id, uid):
            raise build_deleted_error(name)
        return None


def _list_studies_of_one_name(name: str, parents: Sequence[Run]) -> str:
    studies = [
        f"{run.data.tags[UID_TAG]} of {_format_time(run)} (run id {run.info.run_id})"
        for run in sorted(parents, key=lambda run: run.info.start_time)
    ]
    return (
        f"{len(parents)} studies are recorded under the name '{name}': {' and '.join(studies)}; "
        "give the run id of one of them instead of the name"
    )


def _format_time(run: Run) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(run.info.start_time / 1000))


def list_experiments(store: BaseStore) -> dict[str, str]:
    """Return the ids of the experiments with our saved view by name, the one used last first."""
    with store.map_errors():
        experiments = store.client.search_experiments(order_by=["last_update_time DESC"])
        view_tag = f"mlflow.sharedViewState.{saved_view.VIEW_KEY}"
        return {each.name: str(each.experiment_id) for each in experiments if view_tag in each.tags}


def list_studies(store: BaseStore, skip: Callable[[str, str], None]) -> list[StudyRun]:
    """Return every study that can be read, its trials without learning curves.

    `skip` is called with the name of each other study, and the reason.
    """
    studies = []
    with store.map_errors():
        experiments = store.client.search_experiments()
    for experiment in experiments:
        try:
            with store.map_errors():
                parents = store.list_runs(experiment.experiment_id, "study")
                deleted = [] if parents else find_deleted_studies(store, experiment.experiment_id)
        except Unavailable:
            raise
        except StoreError as error:
            skip(experiment.name, str(error))
            continue
        if deleted:
            skip(experiment.name, str(build_deleted_error(experiment.name)))
        for parent in parents:
            try:
                with store.map_errors():
                    studies.append(_read_without_curves(store, experiment.name, parent))
            except Unavailable:
                raise
            except StoreError as error:
                skip(experiment.name, str(error))
    return studies


def _read_without_curves(store: BaseStore, name: str, parent: Run) -> StudyRun:
    # As with curves: of settings with equal scores, the one of the earlier trial is the champion.
    trials = sorted(map(parse_tags, _trial_runs(store, parent)), key=lambda run: run.number)
    runs = _confirmation_runs(store, parent) if _has_confirmation(parent) else []
    return _build_study(store, name, parent, trials, [parse_tags(run) for run in runs])


def _read_with_curves(store: BaseStore, name: str, parent: Run) -> StudyRun:
    runs, confirmations = _trial_runs(store, parent), _confirmation_runs(store, parent)
    with pause_garbage_collection(), ThreadPoolExecutor(READER_THREADS) as pool:
        records = list(pool.map(partial(read_record, store), [*runs, *confirmations]))
    trials = sorted(records[: len(runs)], key=lambda run: run.number)
    return _build_study(store, name, parent, trials, records[len(runs) :])


def _trial_runs(store: BaseStore, parent: Run) -> list[Run]:
    return [
        run
        for run in store.list_runs(parent.info.experiment_id, "trial")
        if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]


def _confirmation_runs(store: BaseStore, parent: Run) -> list[Run]:
    """Return the confirmation runs of a study's best trials."""
    prefix = parent.data.tags[UID_TAG] + CONFIRM_INFIX
    return [
        run
        for run in store.list_runs(parent.info.experiment_id, "confirm")
        if run.data.tags[UID_TAG].startswith(prefix)
    ]


def _has_confirmation(parent: Run) -> bool:
    return parent.data.tags.get(f"harness.{CONFIRM_FACT}", UNCONFIRMED) != UNCONFIRMED


def _build_study(
    store: BaseStore,
    name: str,
    parent: Run,
    trials: Sequence[RunRecord],
    confirmations: Sequence[RunRecord] = (),
) -> StudyRun:
    tags = join_tags(parent.data.tags)
    facts = {
        key.removeprefix("harness."): value
        for key, value in tags.items()
        if key.startswith("harness.") and value and key.split(".")[1] not in NON_FACT_TAGS
    }
    with damage_as_store_error(f"tags of run {parent.info.run_id}"):
        classes = tuple(json.loads(tags[CLASSES_TAG]))
        definition = json.loads(tags[DEFINITION_TAG])
        uid, state = tags[UID_TAG], cast(State, tags["harness.state"])
    return StudyRun(
        name=name,
        uid=uid,
        run_id=parent.info.run_id,
        experiment_id=parent.info.experiment_id,
        facts=facts,
        classes=classes,
        definition=definition,
        readings=read_readings(store, parent),
        state=state,
        started=parent.info.start_time / 1000,
        ended=parent.info.end_time / 1000 if parent.info.end_time else None,
        trials=tuple(trials),
        confirmation_runs=tuple(confirmations),
        metrics=parent.data.metrics,
        deleted=describe_deleted(store, parent.info.experiment_id, uid),
    )


def read_readings(store: BaseStore, run: Run) -> tuple[TestReading, ...]:
    """Return all recorded results on the test set, the oldest first."""
    stored = read_file(store, run.info.run_id, READINGS_FILE)
    with damage_as_store_error(f"{READINGS_FILE} of run {run.info.run_id}"):
        return tuple(TestReading.from_dict(values) for values in json.loads(stored or "[]"))


def read_run(store: BaseStore, run_id: str) -> StudyRun | None:
    """Return the study of a run; None for an unknown id or a run that harness did not write."""
    try:
        with store.map_errors():
            run = store.client.get_run(run_id)
    except StoreError as error:
        if getattr(error.__cause__, "error_code", "") in UNKNOWN_CODES:
            return None
        raise
    kind = run.data.tags.get("harness.kind")
    if run.info.lifecycle_stage == "deleted" or kind not in ("study", "trial", "confirm", "train"):
        return None
    with store.map_errors():
        name = store.client.get_experiment(run.info.experiment_id).name
        if kind == "study":
            return _read_with_curves(store, name, run)
        parent, records = run, [read_record(store, run)]
        while parent.data.tags.get("harness.kind") != "study" and (
            parent_id := parent.data.tags.get("mlflow.parentRunId")
        ):
            parent = store.client.get_run(parent_id)
        if kind == "confirm":
            return _build_study(store, name, parent, [], records)
        return _build_study(store, name, parent, records)


def read_file(store: BaseStore, run_id: str, name: str) -> bytes | None:
    """Return a file of a run; None if it has no file of that name."""
    with store.map_errors():
        run = store.client.get_run(run_id)
        if not any(file.path == name for file in store.client.list_artifacts(run_id)):
            return None
        return store.read_artifact(run, name)


def read_files(store: BaseStore, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
    """Return a file of many runs of one experiment.

    Looking up every run would take longer than everything else. The files of an experiment's runs
    are at addresses that differ only by the run's id; if there is no file, the run is looked up.
    """
    if not run_ids:
        return {}
    with store.map_errors():
        first, *_ = run_ids
        address = store.client.get_run(first).info.artifact_uri

        def read(run_id: str) -> bytes | None:
            with suppress(*store.file_errors):
                return store.read_artifact_at(address.replace(first, run_id), name)
            return read_file(store, run_id, name)

        with ThreadPoolExecutor(READER_THREADS) as pool:
            files = zip(run_ids, pool.map(read, run_ids), strict=True)
            return {run_id: content for run_id, content in files if content is not None}
