"""Read studies and trials from MLflow's runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import cast

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from harness.errors import StoreError
from harness.tracking.mlflow import saved_view
from harness.tracking.mlflow.client import Store, pause_garbage_collection
from harness.tracking.mlflow.naming import read_definition
from harness.tracking.raw_types import READINGS_FILE
from harness.tracking.trial_document import parse_trial_document
from harness.tracking.types import (
    CONFIRM_FACT,
    CONFIRM_INFIX,
    UNCONFIRMED,
    RunRecord,
    State,
    StudyRun,
    TestReading,
)
from harness.trial import TrialSpec

READER_THREADS = 8
"""Files read at the same time: each file of a server takes a round trip."""
NON_FACT_TAGS = (
    *("kind", "uid", "classes", "definition", "state", "reason"),
    *("number", "attempt", "spec", "worker", "sha256", "environment", "replay"),
)
"""The tags `harness.*` that are not facts of a study: they have fields of their own."""


def read_study(store: Store, name: str) -> StudyRun | None:
    """Return a study with its trials' learning curves, which are in one file a run."""
    with store.map_errors():
        experiment = store.client.get_experiment_by_name(name)
        parents = store.list_runs(experiment.experiment_id, "study") if experiment else []
        if not parents:
            return None
        return _read_with_curves(store, name, parents[0])


def list_experiments(store: Store) -> dict[str, str]:
    """Return the ids of the experiments with our saved view by name, the one used last first."""
    with store.map_errors():
        experiments = store.client.search_experiments(order_by=["last_update_time DESC"])
        view_tag = f"mlflow.sharedViewState.{saved_view.VIEW_KEY}"
        return {each.name: str(each.experiment_id) for each in experiments if view_tag in each.tags}


def list_studies(store: Store) -> list[StudyRun]:
    """Return every study, its trials without learning curves."""
    with store.map_errors():
        studies = []
        for experiment in store.client.search_experiments():
            for parent in store.list_runs(experiment.experiment_id, "study"):
                trials = [_parse_tags(run) for run in _trial_runs(store, parent)]
                runs = _confirmation_runs(store, parent) if _has_confirmation(parent) else []
                confirmations = [_parse_tags(run) for run in runs]
                studies.append(_build_study(store, experiment.name, parent, trials, confirmations))
        return studies


def _read_with_curves(store: Store, name: str, parent: Run) -> StudyRun:
    runs, confirmations = _trial_runs(store, parent), _confirmation_runs(store, parent)
    with pause_garbage_collection(), ThreadPoolExecutor(READER_THREADS) as pool:
        records = list(pool.map(partial(_read_record, store), [*runs, *confirmations]))
    trials = sorted(records[: len(runs)], key=lambda run: run.number)
    return _build_study(store, name, parent, trials, records[len(runs) :])


def _trial_runs(store: Store, parent: Run) -> list[Run]:
    return [
        run
        for run in store.list_runs(parent.info.experiment_id, "trial")
        if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]


def _confirmation_runs(store: Store, parent: Run) -> list[Run]:
    """Return the confirmation runs of a study's best trials."""
    prefix = parent.data.tags["harness.uid"] + CONFIRM_INFIX
    return [
        run
        for run in store.list_runs(parent.info.experiment_id, "confirm")
        if run.data.tags["harness.uid"].startswith(prefix)
    ]


def _has_confirmation(parent: Run) -> bool:
    return parent.data.tags.get(f"harness.{CONFIRM_FACT}", UNCONFIRMED) != UNCONFIRMED


def _read_record(store: Store, run: Run) -> RunRecord:
    record = _parse_tags(run)
    if record.state == "RUNNING":
        return record
    try:
        content = store.read_artifact(run, "trial.json")
    except (MlflowException, OSError):
        if record.state in ("COMPLETE", "PRUNED"):
            raise
        return record  # it ended before its first epoch, so it has no file
    with _damage_as_store_error(f"trial.json of run {run.info.run_id}"):
        return replace(record, **parse_trial_document(json.loads(content)))


@contextmanager
def _damage_as_store_error(source: str) -> Iterator[None]:
    """Raise a StoreError for content that harness did not write."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(
            f"{source}: damaged, or not written by harness ({type(error).__name__}: {message}); "
            "`harness doctor` shows details"
        ) from error


def _parse_tags(run: Run) -> RunRecord:
    """Return a record from a run's tags alone. Tags that older versions lack have a default."""
    tags = run.data.tags
    with _damage_as_store_error(f"tags of run {run.info.run_id}"):
        return RunRecord(
            uid=tags["harness.uid"],
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
        )


def _build_study(
    store: Store,
    name: str,
    parent: Run,
    trials: Sequence[RunRecord],
    confirmations: Sequence[RunRecord] = (),
) -> StudyRun:
    tags = parent.data.tags
    facts = {
        key.removeprefix("harness."): value
        for key, value in tags.items()
        if key.startswith("harness.") and value and key.split(".")[1] not in NON_FACT_TAGS
    }
    with _damage_as_store_error(f"tags of run {parent.info.run_id}"):
        classes = tuple(json.loads(tags["harness.classes"]))
        definition = read_definition(tags)
        uid, state = tags["harness.uid"], cast(State, tags["harness.state"])
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
    )


def read_readings(store: Store, run: Run) -> tuple[TestReading, ...]:
    """Return all recorded results on the test set, the oldest first."""
    stored = read_file(store, run.info.run_id, READINGS_FILE)
    with _damage_as_store_error(f"{READINGS_FILE} of run {run.info.run_id}"):
        return tuple(TestReading.from_dict(values) for values in json.loads(stored or "[]"))


def read_run(store: Store, run_id: str) -> StudyRun | None:
    """Return the study of a run; None for an unknown id or a run that harness did not write."""
    try:
        with store.map_errors():
            run = store.client.get_run(run_id)
    except StoreError as error:
        if isinstance(error.__cause__, MlflowException) and _is_unknown_run(error.__cause__):
            return None
        raise
    kind = run.data.tags.get("harness.kind")
    if run.info.lifecycle_stage == "deleted" or kind not in ("study", "trial", "confirm", "train"):
        return None
    with store.map_errors():
        name = store.client.get_experiment(run.info.experiment_id).name
        if kind == "study":
            return _read_with_curves(store, name, run)
        parent, records = run, [_read_record(store, run)]
        while parent.data.tags.get("harness.kind") != "study" and (
            parent_id := parent.data.tags.get("mlflow.parentRunId")
        ):
            parent = store.client.get_run(parent_id)
        if kind == "confirm":
            return _build_study(store, name, parent, [], records)
        return _build_study(store, name, parent, records)


def read_file(store: Store, run_id: str, name: str) -> bytes | None:
    """Return a file of a run; None if it has no file of that name."""
    with store.map_errors():
        run = store.client.get_run(run_id)
        if not any(file.path == name for file in store.client.list_artifacts(run_id)):
            return None
        return store.read_artifact(run, name)


def read_files(store: Store, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
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
            with suppress(MlflowException, OSError):
                return store.read_artifact_at(address.replace(first, run_id), name)
            return read_file(store, run_id, name)

        with ThreadPoolExecutor(READER_THREADS) as pool:
            files = zip(run_ids, pool.map(read, run_ids), strict=True)
            return {run_id: content for run_id, content in files if content is not None}


def _is_unknown_run(error: MlflowException) -> bool:
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
