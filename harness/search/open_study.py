"""Open a study's Optuna record: made or continued, under its lock, refused where it was changed."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna

from harness.config.schema import GRID_OR_LIST, TRIAL_TABLE, StudyConfig, fill_defaults
from harness.errors import StoreError, StudyError
from harness.metrics import higher_is_better
from harness.search.record import Record
from harness.search.samplers import pruner
from harness.search.storage.base import StudyStorage
from harness.search.storage.journal import JournalFolder
from harness.search.study import Search
from harness.system.failpoints import failpoint
from harness.tracking.types import SET_ASIDE_REASON


@contextmanager
def open_search(
    config: StudyConfig, where: StudyStorage | Path, fresh: bool = False, split: str = ""
) -> Iterator[Search]:
    """The study's record under its lock, made or continued; a path is a folder of journals.

    `split` is the SHA-256 of the data and its split. Raises StudyError where another driver holds
    it, or where the study or its data was changed under its name.
    """
    name = config.study.name
    place = JournalFolder(where) if isinstance(where, Path) else where
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with place.locked(name, fresh):
        there = name in place.names()
        if fresh and there:
            suffix = place.suffix(name)
            _end(place, name)
            _create(config, place, suffix, split)
            place.publish(name, suffix)
        elif not there:
            _create(config, place, None, split)
            place.publish(name, None)
        study = _load(config, place)
        _refuse_changes(name, study.user_attrs["definition"], config.definition())
        _refuse_other_data(config, study.user_attrs.get("split", split), split)
        search = Search(config, study)
        requested = max(config.study.trials, search.counts.done)
        if study.user_attrs.get("requested", 0) < requested:
            study.set_user_attr("requested", requested)
        yield search


def _end(place: StudyStorage, name: str) -> None:
    """What a driver that died left running in a record that is put aside, unless it is damaged."""
    with suppress(Exception):
        storage = place.storage(name)
        study = optuna.load_study(study_name=name, storage=storage)
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            storage.set_trial_user_attr(trial._trial_id, "reason", SET_ASIDE_REASON)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _create(config: StudyConfig, place: StudyStorage, suffix: str | None, split: str) -> None:
    """A new record, which is there when it is published."""
    storage, name = place.draft(config.study.name)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize" if higher_is_better(config.study.objective) else "minimize",
    )
    failpoint("search.created")
    study.set_user_attr("uid", uuid.uuid4().hex[:12])
    study.set_user_attr("name", config.study.name)
    study.set_user_attr("set_aside", suffix)
    study.set_user_attr("definition", config.definition())
    if split:
        study.set_user_attr("split", split)
    failpoint("search.defined")


def _load(config: StudyConfig, place: StudyStorage) -> optuna.Study:
    name = config.study.name
    try:
        study = Record(name, place.storage(name), pruner=pruner(config))
    except KeyError:
        raise StoreError(
            f"{place.shown(name)}: holds no study '{name}'; start over with --fresh, which keeps "
            "what is there under another name"
        ) from None
    if missing := {"uid", "set_aside", "definition"} - study.user_attrs.keys():
        raise StoreError(
            f"{place.shown(name)}: says nothing of {', '.join(sorted(missing))}, so it is no "
            "record of this version; start over with --fresh, which keeps it under another name"
        )
    return study


def _refuse_changes(name: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise StudyError where two definitions differ; a key that one lacks counts as its default."""
    changes = []
    for table in before | now:
        old, new = before.get(table, {}), now.get(table, {})
        filled_old, filled_new = fill_defaults(table, old), fill_defaults(table, new)
        changes += [
            f"[{table}] {key}: {_show(old.get(key))} -> {_show(new.get(key))}"
            for key in sorted(filled_old.keys() | filled_new.keys())
            if filled_old.get(key) != filled_new.get(key)
        ]
    if now["study"]["sampler"] in GRID_OR_LIST:  # whose trials are told by their place
        changes += [
            f"[{table}] order: {', '.join(before[table])} -> {', '.join(now[table])}"
            for table in before.keys() & now.keys() & {"space", TRIAL_TABLE}
            if list(before[table]) != list(now[table]) and before[table] == now[table]
        ]
    if changes:
        same = "--set" if before.get("code") == now.get("code") else "code"
        raise StudyError(
            f"study '{name}' was started with other settings: {'; '.join(changes)}. Give the same "
            f"{same} as then to go on, a new name (--set study.name={name}-2) for another study, "
            "or --fresh to start over, which keeps the old one under another name"
        )


def _refuse_other_data(config: StudyConfig, before: str, now: str) -> None:
    """Files of one's own may change under their name; older records do not say what they were."""
    if before != now:
        name = config.study.name
        raise StudyError(
            f"study '{name}' was started on other data: '{config.data.name}' gave a split with the "
            f"SHA-256 {before[:16]}, now it is {now[:16]}. Put the files back as they were to go "
            f"on, give a new name (--set study.name={name}-2) for another study, or --fresh to "
            "start over, which keeps the old one under another name"
        )


def _show(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value)
