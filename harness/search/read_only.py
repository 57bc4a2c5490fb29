"""Read a study's Optuna trials without writing anything: Optuna's own readers create files.

This is also where `harness doctor` gets Optuna's types from: only this package imports Optuna.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna import Study as Study
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FixedTrial as FixedTrial
from optuna.trial import FrozenTrial as FrozenTrial
from optuna.trial import TrialState as TrialState

from harness.config.schema import StudyConfig
from harness.search.storage.base import StudyStorage
from harness.search.storage.postgres import PostgresStorage
from harness.search.study import Search


@dataclass(frozen=True)
class OptunaStudy:
    """A study's name, user attributes and trials in Optuna."""

    name: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    trials: tuple[FrozenTrial, ...] = ()


class InMemoryJournal(BaseJournalBackend):
    """An Optuna journal backend over records in memory."""

    def __init__(self, records: Sequence[dict[str, Any]]) -> None:
        self._records = records

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self._records[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise RuntimeError("this journal is read-only")


def read_records(records: Sequence[dict[str, Any]]) -> OptunaStudy:
    """Return the study in a journal's records. Raises what Optuna raises on bad ones."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(InMemoryJournal(records))
    for study in storage.get_all_studies()[:1]:
        trials = storage.get_all_trials(study._study_id, deepcopy=False)
        return OptunaStudy(study.study_name, study.user_attrs, tuple(trials))
    return OptunaStudy()


def copy_optuna_study(studies: StudyStorage, name: str) -> optuna.Study:
    """Return a copy in memory of a recorded study, for Optuna's own functions."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage, memory = studies.get_storage(name), optuna.storages.InMemoryStorage()
    (recorded,) = [
        each.study_name
        for each in storage.get_all_studies()
        if each.user_attrs.get("name", each.study_name) == name
    ]
    optuna.copy_study(
        from_study_name=recorded, from_storage=storage, to_storage=memory, to_study_name=name
    )
    return optuna.load_study(study_name=name, storage=memory)


def read_database(database: PostgresStorage, name: str) -> OptunaStudy:
    """Return a study of a PostgreSQL database, under its original name."""
    with database.open_read_only() as storage:
        study = next(study for study in storage.get_all_studies() if study.study_name == name)
        trials = storage.get_all_trials(study._study_id, deepcopy=False)
    original = str(study.user_attrs.get("name", name))
    return OptunaStudy(original, study.user_attrs, tuple(trials))


def reopen_search(config: StudyConfig, studies: StudyStorage, name: str, uid: str) -> Search:
    """Open the search of a recorded study for repair; the caller holds its lock."""
    storage = studies.get_storage(name)
    # An archived journal still has the study under its original name.
    (summary,) = [
        study for study in storage.get_all_studies() if study.user_attrs.get("uid") == uid
    ]
    return Search(config, optuna.load_study(study_name=summary.study_name, storage=storage))
