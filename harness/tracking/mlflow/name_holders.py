"""Who holds a study's name in the store: the studies of an experiment, and where they were run.

A uid is in the experiment's tag, or in the study runs of records that are older than the tag.
Nothing here imports mlflow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from harness.system.addresses import format_read_only_uri
from harness.tracking.mlflow.base_store import ALL, BaseStore
from harness.tracking.name_holder import NameHolder
from harness.tracking.types import ORIGIN_FACTS

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run

UID_TAG = "harness.uid"


def read_holder(store: BaseStore, experiment: Experiment) -> NameHolder:
    """Return the studies of an experiment."""
    return read_holders(store, [experiment])[str(experiment.experiment_id)]


def read_holders(store: BaseStore, experiments: Sequence[Experiment]) -> dict[str, NameHolder]:
    """Return the studies of each experiment by its id; runs that were deleted count too."""
    runs: dict[str, list[Run]] = {str(each.experiment_id): [] for each in experiments}
    for run in store.search_runs(list(runs), "tags.`harness.kind` = 'study'", ALL):
        if UID_TAG in run.data.tags:
            runs[str(run.info.experiment_id)].append(run)
    return {str(each.experiment_id): _build_holder(each, runs) for each in experiments}


def _build_holder(experiment: Experiment, runs: dict[str, list[Run]]) -> NameHolder:
    mine = sorted(runs[str(experiment.experiment_id)], key=lambda run: run.info.start_time)
    tags, uids = dict(experiment.tags), set[str]()
    for each in (experiment.tags, *(run.data.tags for run in mine)):
        tags |= each  # a driver updates its study's run; the experiment has the first driver's
        uids |= {each[UID_TAG]} if UID_TAG in each else set()
    origin = {key: tags[f"harness.{key}"] for key in ORIGIN_FACTS if f"harness.{key}" in tags}
    is_running = any(run.info.status == "RUNNING" for run in mine)
    return NameHolder(frozenset(uids), origin, str(experiment.artifact_location), is_running)


def may_hold_name(database: Path, name: str) -> bool:
    """Whether an SQLite file may have an experiment or a model of that name.

    Does not import mlflow, which takes 3 s.
    """
    if not database.is_file():
        return False
    query = (
        "SELECT 1 FROM experiments WHERE name = ?1 "
        "UNION SELECT 1 FROM registered_models WHERE name = ?1"
    )
    try:
        with closing(sqlite3.connect(format_read_only_uri(database), uri=True)) as connection:
            return connection.execute(query, (name,)).fetchone() is not None
    except sqlite3.Error:
        return True
