"""Open a study's Optuna record: made or continued, under its lock, refused where it was changed."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend

from harness.config import GIVEN, LIST, StudyConfig
from harness.errors import StoreError, StudyError
from harness.failpoints import failpoint
from harness.scores import higher_is_better
from harness.search.journal import aside, locked
from harness.search.record import Record
from harness.search.samplers import pruner
from harness.search.study import Search
from harness.tracking.records import PUT_ASIDE


class Backend(JournalFileBackend):
    """Optuna's journal file, whose disk may be full."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            raise StoreError(
                f"{self._path}: cannot be written ({error.strerror}); the same command goes on "
                "when it can"
            ) from None


@contextmanager
def open_search(
    config: StudyConfig, folder: Path, fresh: bool = False, split: str = ""
) -> Iterator[Search]:
    """The study's record under its lock, made or continued.

    `split` is the SHA-256 of the data and its split. Raises StudyError where another driver holds
    it, or where the study or its data was changed under its name.
    """
    name = config.study.name
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with locked(folder, name, fresh) as path:
        new = path.with_name(f"{path.name}.new")
        if new.is_file() and path.is_file():
            new.unlink()  # whoever made it died before the old one was put aside
        if new.is_file():
            new.rename(path)
        if fresh and path.is_file():
            old = aside(path)
            suffix = old.name.removesuffix(".journal").removeprefix(f"{name}.")
            _end(path, name)
            _create(config, new, suffix, split)
            path.rename(old)
            failpoint("search.aside")
            new.rename(path)
        elif not path.is_file():
            _create(config, path, None, split)
        study = _load(config, path)
        _refuse_changes(name, study.user_attrs["definition"], config.definition())
        _refuse_other_data(config, study.user_attrs.get("split", split), split)
        search = Search(config, study)
        requested = max(config.study.trials, search.counts.done)
        if study.user_attrs.get("requested", 0) < requested:
            study.set_user_attr("requested", requested)
        yield search


def _end(path: Path, name: str) -> None:
    """What a driver that died left running in a record that is put aside, unless it is damaged."""
    with suppress(Exception):
        storage = optuna.storages.JournalStorage(Backend(path))
        study = optuna.load_study(study_name=name, storage=storage)
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            storage.set_trial_user_attr(trial._trial_id, "reason", PUT_ASIDE)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _create(config: StudyConfig, path: Path, suffix: str | None, split: str) -> None:
    """A new record, which is there whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(Backend(part)),
        study_name=config.study.name,
        direction="maximize" if higher_is_better(config.study.objective) else "minimize",
    )
    failpoint("search.created")
    study.set_user_attr("uid", uuid.uuid4().hex[:12])
    study.set_user_attr("set_aside", suffix)
    study.set_user_attr("definition", config.definition())
    if split:
        study.set_user_attr("split", split)
    failpoint("search.defined")
    part.rename(path)


def _load(config: StudyConfig, path: Path) -> optuna.Study:
    try:
        study = Record(
            config.study.name,
            optuna.storages.JournalStorage(Backend(path)),
            pruner=pruner(config),
        )
    except KeyError:
        raise StoreError(
            f"{path}: holds no study '{config.study.name}'; start over with --fresh, which keeps "
            "the file under another name"
        ) from None
    if missing := {"uid", "set_aside", "definition"} - study.user_attrs.keys():
        raise StoreError(
            f"{path}: says nothing of {', '.join(sorted(missing))}, so it is no record of this "
            "version; start over with --fresh, which keeps it under another name"
        )
    return study


def _refuse_changes(name: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    changes = [
        f"[{table}] {key}: {_show(old.get(key))} -> {_show(new.get(key))}"
        for table in before | now
        for old, new in [(before.get(table, {}), now.get(table, {}))]
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if before["study"]["sampler"] in GIVEN:  # whose trials are told by their place
        changes += [
            f"[{table}] order: {', '.join(before[table])} -> {', '.join(now[table])}"
            for table in before.keys() & now.keys() & {"space", LIST}
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
