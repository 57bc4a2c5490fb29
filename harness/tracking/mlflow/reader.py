"""The read side: a study and its trials out of MLflow's runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import cast

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from harness.errors import StoreError
from harness.tracking.mlflow import saved_view
from harness.tracking.mlflow.client import Store, in_bulk
from harness.tracking.mlflow.naming import read_definition
from harness.tracking.raw_types import READINGS
from harness.tracking.types import (
    CONFIRM,
    CONFIRMING,
    UNCONFIRMED,
    RunRecord,
    State,
    StudyRun,
    TestReading,
    read_document,
)
from harness.trial import TrialSpec

READERS = 8
"""Files read at once: from a server each takes as long as its way there and back."""
NO_FACTS = (
    *("kind", "uid", "classes", "definition", "state", "reason"),
    *("number", "attempt", "spec", "worker", "sha256", "environment", "replay"),
)
"""Tags of ours that are told otherwise."""


def read(store: Store, name: str) -> StudyRun | None:
    """A study with its trials' curves, which lie in one file a run; the latest of that name."""
    with store.errors():
        experiment = store.client.get_experiment_by_name(name)
        parents = store.runs(experiment.experiment_id, "study") if experiment else []
        if not parents:
            return None
        return _whole(store, name, parents[0])


def experiments(store: Store) -> dict[str, str]:
    """Ids by name of the experiments that carry our view, the one used last first."""
    with store.errors():
        found = store.client.search_experiments(order_by=["last_update_time DESC"])
        ours = [each for each in found if f"mlflow.sharedViewState.{saved_view.KEY}" in each.tags]
        return {each.name: str(each.experiment_id) for each in ours}


def studies(store: Store) -> list[StudyRun]:
    """Every study, its trials without curves."""
    with store.errors():
        found = []
        for experiment in store.client.search_experiments():
            for parent in store.runs(experiment.experiment_id, "study"):
                trials = map(_summary_record, _trials(store, parent))
                again = map(
                    _summary_record, _confirming(store, parent) if _confirms(parent) else []
                )
                found.append(_study(store, experiment.name, parent, list(trials), list(again)))
        return found


def _whole(store: Store, name: str, parent: Run) -> StudyRun:
    runs, again = _trials(store, parent), _confirming(store, parent)
    with in_bulk(), ThreadPoolExecutor(READERS) as pool:
        read = list(pool.map(partial(_with_curves, store), [*runs, *again]))
    trials = sorted(read[: len(runs)], key=lambda run: run.number)
    return _study(store, name, parent, trials, read[len(runs) :])


def _trials(store: Store, parent: Run) -> list[Run]:
    return [
        run
        for run in store.runs(parent.info.experiment_id, "trial")
        if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]


def _confirming(store: Store, parent: Run) -> list[Run]:
    """The runs that confirm a study's best trials."""
    prefix = parent.data.tags["harness.uid"] + CONFIRMING
    return [
        run
        for run in store.runs(parent.info.experiment_id, "confirm")
        if run.data.tags["harness.uid"].startswith(prefix)
    ]


def _confirms(parent: Run) -> bool:
    return parent.data.tags.get(f"harness.{CONFIRM}", UNCONFIRMED) != UNCONFIRMED


def _with_curves(store: Store, run: Run) -> RunRecord:
    record = _summary_record(run)
    if record.state == "RUNNING":
        return record
    try:
        content = store.artifact(run, "trial.json")
    except (MlflowException, OSError):
        if record.state in ("COMPLETE", "PRUNED"):
            raise
        return record  # it ended before its first epoch
    with _readable(f"trial.json of run {run.info.run_id}"):
        return replace(record, **read_document(json.loads(content)))


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """What is not as harness wrote it, as a StoreError."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(
            f"{what} is damaged, or not harness's own ({type(error).__name__}: {said}); "
            "`harness doctor` says more"
        ) from error


def _summary_record(run: Run) -> RunRecord:
    """What a run's own tags say, without its files."""
    tags = run.data.tags
    with _readable(f"what the tags of run {run.info.run_id} say"):
        return _record(run, tags)


def _record(run: Run, tags: Mapping[str, str]) -> RunRecord:
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


def _study(
    store: Store,
    name: str,
    parent: Run,
    trials: Sequence[RunRecord],
    confirming: Sequence[RunRecord] = (),
) -> StudyRun:
    tags = parent.data.tags
    facts = {
        key.removeprefix("harness."): value
        for key, value in tags.items()
        if key.startswith("harness.") and value and key.split(".")[1] not in NO_FACTS
    }
    with _readable(f"what the tags of run {parent.info.run_id} say"):
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
        readings=readings(store, parent),
        state=state,
        started=parent.info.start_time / 1000,
        ended=parent.info.end_time / 1000 if parent.info.end_time else None,
        trials=tuple(trials),
        confirming=tuple(confirming),
    )


def readings(store: Store, run: Run) -> tuple[TestReading, ...]:
    """Every opening of the test set on record, oldest first."""
    stored = read_file(store, run.info.run_id, READINGS)
    with _readable(f"{READINGS} of run {run.info.run_id}"):
        return tuple(TestReading.from_dict(values) for values in json.loads(stored or "[]"))


def read_run(store: Store, run_id: str) -> StudyRun | None:
    """The study around one run of ours; None for an unknown id or a run of somebody else's."""
    try:
        with store.errors():
            run = store.client.get_run(run_id)
    except StoreError as error:
        if isinstance(error.__cause__, MlflowException) and _unknown(error.__cause__):
            return None
        raise
    kind = run.data.tags.get("harness.kind")
    if run.info.lifecycle_stage == "deleted" or kind not in ("study", "trial", "confirm", "train"):
        return None
    with store.errors():
        name = store.client.get_experiment(run.info.experiment_id).name
        if kind == "study":
            return _whole(store, name, run)
        owner, read = run, [_with_curves(store, run)]
        while owner.data.tags.get("harness.kind") != "study" and (
            above := owner.data.tags.get("mlflow.parentRunId")
        ):
            owner = store.client.get_run(above)
        again = kind == "confirm"
        return _study(store, name, owner, [] if again else read, read if again else [])


def read_file(store: Store, run_id: str, name: str) -> bytes | None:
    with store.errors():
        run = store.client.get_run(run_id)
        if not any(file.path == name for file in store.client.list_artifacts(run_id)):
            return None
        return store.artifact(run, name)


def read_files(store: Store, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
    """Of as many runs as a study has trials: to look each run up takes longer than all the rest.

    The runs of an experiment keep their files at addresses that differ by the run's id. Where that
    holds not, or there is no file, the run is looked up all the same.
    """
    if not run_ids:
        return {}
    with store.errors():
        first, *_ = run_ids
        address = store.client.get_run(first).info.artifact_uri

        def content(run_id: str) -> bytes | None:
            with suppress(MlflowException, OSError):
                return store.artifact_at(address.replace(first, run_id), name)
            return read_file(store, run_id, name)

        with ThreadPoolExecutor(READERS) as pool:
            found = zip(run_ids, pool.map(content, run_ids), strict=True)
            return {run_id: each for run_id, each in found if each is not None}


def _unknown(error: MlflowException) -> bool:
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
