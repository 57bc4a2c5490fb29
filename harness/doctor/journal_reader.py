"""A study's journal, read without a byte written: Optuna's own way of opening it makes files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

from harness.config.schema import LIST, DataTable, StudyConfig, StudyTable
from harness.config.search_space import Space
from harness.search.storage.base import StudyStorage
from harness.search.storage.journal import JournalFolder
from harness.search.storage.postgres import PostgresStorage
from harness.search.study import drawn_of
from harness.tracking.types import State
from harness.trial import LISTS, TrialSpec

STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAIL: "FAILED",
    TrialState.RUNNING: "RUNNING",
}


class Lines(BaseJournalBackend):
    """Whole lines of a journal, in memory."""

    def __init__(self, records: Sequence[dict[str, Any]]) -> None:
        self._records = records

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self._records[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise RuntimeError("a journal that is only looked at is not written to")


@dataclass(frozen=True)
class Journal:
    """What a journal says, as far as its lines are whole."""

    path: str
    """Where it lies, for people."""
    mark: object
    """Of the moment at which it was read."""
    cut: bool
    """Whether its last line is torn: what a driver leaves that died while it wrote."""
    damage: str
    """What is wrong with it beside that."""
    study: str
    """The study's name when it was begun; a file that --fresh set aside goes by another."""
    attrs: dict[str, Any]
    trials: tuple[FrozenTrial, ...]

    @property
    def uid(self) -> str:
        return str(self.attrs.get("uid", ""))

    @property
    def begun(self) -> bool:
        return "definition" in self.attrs

    @property
    def requested(self) -> int | None:
        return self.attrs.get("requested")

    @cached_property
    def config(self) -> StudyConfig:
        """Raises ValueError where the definition cannot be read."""
        definition = self.attrs["definition"]
        return StudyConfig(
            study=StudyTable(name=self.study, **definition["study"]),
            data=DataTable(**definition["data"]),
            train=_fields(definition["train"]),
            space=Space.parse(definition["space"]),
            source=self.path,
            text="",
            settings={name: _fields(each) for name, each in definition.get(LIST, {}).items()},
            code=definition.get("code", {}),
        )

    def trial_uid(self, number: int) -> str:
        return f"{self.uid}/{number}"

    def state(self, trial: FrozenTrial) -> State | None:
        """As DESIGN names it; None for one that only waits to be tried again."""
        if trial.state == TrialState.FAIL and trial.user_attrs.get("successor") is not None:
            return "INTERRUPTED"
        return STATES.get(trial.state)

    def ordinal(self, trial: FrozenTrial) -> int:
        """Its place among trials that are no retries; of one interrupted before it said so too."""
        said = trial.user_attrs.get("ordinal")
        if said is not None:
            return int(said)
        return sum("retry_of" not in each.user_attrs for each in self.trials[: trial.number])

    def spec(self, trial: FrozenTrial) -> TrialSpec:
        """Its settings, as harness.search.Search has them. Raises ValueError."""
        drawn = drawn_of(trial)
        if drawn is None and not self.config.settings:
            return self.config.undrawn()
        return self.config.spec(optuna.trial.FixedTrial(drawn or {}), self.ordinal(trial))

    def value(self, trial: FrozenTrial) -> float | None:
        return trial.value if trial.state == TrialState.COMPLETE else None


def read(place: StudyStorage, study: str) -> Journal | None:
    """None where there is none."""
    if isinstance(place, JournalFolder):
        return _of_file(place.journal(study))
    return _of_database(place, study) if isinstance(place, PostgresStorage) else None


def _of_database(place: PostgresStorage, name: str) -> Journal | None:
    if name not in place.names():
        return None
    mark = place.mark(name)
    with place.reading() as storage:
        study = next(each for each in storage.get_all_studies() if each.study_name == name)
        trials = storage.get_all_trials(study._study_id, deepcopy=False)
    own = str(study.user_attrs.get("name", name))
    return Journal(place.shown(name), mark, False, "", own, study.user_attrs, tuple(trials))


def _of_file(path: Path) -> Journal | None:
    if not path.is_file():
        return None
    content = path.read_bytes()
    lines, records = content.splitlines(keepends=True), []
    cut, damage = False, ""
    for place, line in enumerate(lines, 1):
        record = _record(line)
        if record is None:
            cut = not any(_record(later) is not None for later in lines[place:])
            if not cut:
                damage = f"line {place} is damaged and whole records follow it"
            break
        records.append(record)
    study, attrs, trials = "", dict[str, Any](), list[FrozenTrial]()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = optuna.storages.JournalStorage(Lines(records))
        for each in storage.get_all_studies()[:1]:
            study, attrs = each.study_name, each.user_attrs
            trials = storage.get_all_trials(each._study_id, deepcopy=False)
    except Exception as error:
        # Records that contradict one another come out as whatever Optuna stumbles over.
        damage = damage or f"Optuna cannot follow it ({type(error).__name__}: {error})"
    return Journal(str(path), len(content), cut, damage, study, attrs, tuple(trials))


def _record(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _fields(table: dict[str, Any]) -> dict[str, Any]:
    """TrialSpec fields as they were before they became JSON."""
    return {name: tuple(value) if name in LISTS else value for name, value in table.items()}
