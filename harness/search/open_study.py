"""Create or continue a study's Optuna record, under its lock; reject changed studies and data."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna

from harness.config.schema import GRID_OR_LIST, TRIAL_TABLE, StudyConfig, fill_defaults
from harness.errors import StoreError, StudyError
from harness.search.first_settings import choose_first_params
from harness.search.frozen_trial import is_started
from harness.search.limits import Limits, Measure
from harness.search.objectives import list_directions
from harness.search.retried_trials import OrderedRetriesStudy
from harness.search.samplers import make_pruner
from harness.search.storage.base import StudyStorage
from harness.search.storage.journal import JournalFolder
from harness.search.study import Search
from harness.system.failpoints import failpoint
from harness.tracking.types import SET_ASIDE_REASON


@contextmanager
def open_search(
    config: StudyConfig,
    storage: StudyStorage | Path,
    fresh: bool = False,
    split: str = "",
    measure: Measure | None = None,
) -> Iterator[Search]:
    """Create or continue the study's record, and hold its lock for the block.

    A record of other settings or data that has not trained anything is archived, as with `fresh`.

    Args:
        storage: a path is a folder of journals.
        fresh: archive an existing record under another name, and create a new one.
        split: SHA-256 of the data and its split.
        measure: returns what a setting costs, for a study with [limits].

    Raises:
        StudyError: another driver holds the lock, or the study or its data has changed.
    """
    name = config.study.name
    studies = JournalFolder(storage) if isinstance(storage, Path) else storage
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with studies.lock(name, fresh):
        exists, replaced = name in studies.list_studies(), False
        if fresh and exists:
            _replace_study(config, studies, split, measure)
        elif not exists:
            # The store may have a study whose Optuna record is lost.
            lost = time.strftime("%Y%m%d-%H%M%S") if fresh else None
            _create_study(config, studies, lost, split, measure=measure)
            studies.publish(name, None)
        study = _load_study(config, studies)
        try:
            _reject_changes(name, study.user_attrs["definition"], config.definition())
            _reject_other_data(config, study.user_attrs.get("split", split), split)
        except StudyError:
            if is_started(study):
                raise
            _replace_study(config, studies, split, measure)
            study, replaced = _load_study(config, studies), True
        search = Search(config, study, measure)
        search.replaced = replaced
        requested = max(search.target, search.counts.done)
        if study.user_attrs.get("requested", 0) < requested:
            study.set_user_attr("requested", requested)
        yield search


def _replace_study(
    config: StudyConfig, studies: StudyStorage, split: str, measure: Measure | None
) -> None:
    """Archive the study's record, and create a new one."""
    name = config.study.name
    suffix, taken = studies.make_archive_suffix(name), studies.list_studies()
    if f"{name}.{suffix}" in taken:  # of the same second, or the clock was set back
        numbered = (f"{suffix}-{number}" for number in itertools.count(2))
        suffix = next(each for each in numbered if f"{name}.{each}" not in taken)
    older = read_uid(studies, name)
    _fail_running_trials(studies, name)
    _create_study(config, studies, suffix, split, older, measure)
    studies.publish(name, suffix)


def read_uid(studies: StudyStorage, name: str) -> str:
    """Return the uid of a recorded study; empty if the record cannot be read."""
    with suppress(Exception):
        study = optuna.load_study(study_name=name, storage=studies.get_storage(name))
        return str(study.user_attrs["uid"])
    return ""


def _fail_running_trials(studies: StudyStorage, name: str) -> None:
    """End the trials that a dead driver left running, before the record is archived.

    A damaged record is archived as it is.
    """
    with suppress(Exception):
        storage = studies.get_storage(name)
        study = optuna.load_study(study_name=name, storage=storage)
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            storage.set_trial_user_attr(trial._trial_id, "reason", SET_ASIDE_REASON)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _create_study(
    config: StudyConfig,
    studies: StudyStorage,
    suffix: str | None,
    split: str,
    older: str = "",
    measure: Measure | None = None,
) -> None:
    """Create a new record as a draft, to be published."""
    first = choose_first_params(config, studies, Limits(config, measure))
    storage, name = studies.create_draft(config.study.name)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=list_directions(config),
    )
    failpoint("search.created")
    study.set_user_attr("uid", uuid.uuid4().hex[:12])
    study.set_user_attr("name", config.study.name)
    study.set_user_attr("set_aside", suffix)
    study.set_user_attr("set_aside_uid", older)
    study.set_user_attr("definition", config.definition())
    if first:
        study.set_user_attr("first", first)
    if split:
        study.set_user_attr("split", split)
    failpoint("search.defined")


def _load_study(config: StudyConfig, studies: StudyStorage) -> optuna.Study:
    """Load a record. Raises StoreError if it is incomplete or of another version."""
    name = config.study.name
    try:
        study = OrderedRetriesStudy(name, studies.get_storage(name), pruner=make_pruner(config))
    except KeyError:
        raise StoreError(
            f"{studies.describe(name)}: contains no study '{name}'; start over with --fresh, which "
            "keeps the old record under another name"
        ) from None
    if missing := {"uid", "set_aside", "definition"} - study.user_attrs.keys():
        raise StoreError(
            f"{studies.describe(name)}: lacks {', '.join(sorted(missing))}, so this version cannot "
            "continue it; start over with --fresh, which keeps it under another name"
        )
    return study


def _reject_changes(name: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise StudyError if two definitions differ; a missing key counts as its default."""
    changes = []
    for table in before | now:
        old, new = before.get(table, {}), now.get(table, {})
        filled_old, filled_new = fill_defaults(table, old), fill_defaults(table, new)
        changes += [
            f"[{table}] {key}: {_format_value(old.get(key))} -> {_format_value(new.get(key))}"
            for key in sorted(filled_old.keys() | filled_new.keys())
            if filled_old.get(key) != filled_new.get(key)
        ]
    if now["study"]["sampler"] in GRID_OR_LIST:  # a trial's ordinal decides its settings
        changes += [
            f"[{table}] order: {', '.join(before[table])} -> {', '.join(now[table])}"
            for table in before.keys() & now.keys() & {"space", TRIAL_TABLE}
            if list(before[table]) != list(now[table]) and before[table] == now[table]
        ]
    if changes:
        same = "--set" if before.get("code") == now.get("code") else "code"
        raise StudyError(
            f"study '{name}' was started with other settings: {'; '.join(changes)}. To continue "
            f"it, use the same {same} as before; for another study, choose a new name (--set "
            f"study.name={name}-2); to start over, use --fresh, which keeps the old study under "
            "another name"
        )


def _reject_other_data(config: StudyConfig, before: str, now: str) -> None:
    """Raise StudyError if the SHA-256 of the data has changed; older records do not have it."""
    if before != now:
        name = config.study.name
        older = (
            ", or use the version of harness that started it if a category of the table has no "
            "training row (this version reads such a table in another way)"
        )
        raise StudyError(
            f"study '{name}' was started on other data: the split of '{config.data.name}' had the "
            f"SHA-256 {before[:16]}, now it is {now[:16]}. To continue the study, restore the "
            f"files{older if config.data.target else ''}; for another study, choose a new name "
            f"(--set study.name={name}-2); to start over, use --fresh, which keeps "
            "the old study under another name"
        )


def _format_value(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value)
