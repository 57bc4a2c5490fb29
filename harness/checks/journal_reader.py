"""Read a study's Optuna journal without writing a byte: Optuna's own reader creates files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.config.limits import LimitsTable
from harness.config.schema import TRIAL_TABLE, StudyConfig
from harness.config.search_space import SearchSpace
from harness.config.study_tables import DataTable, StudyTable
from harness.search.frozen_trial import get_sampled_params, get_value
from harness.search.read_only import (
    FixedTrial,
    FrozenTrial,
    OptunaStudy,
    TrialState,
    read_database,
    read_records,
)
from harness.search.storage.base import StudyStorage
from harness.search.storage.journal import JournalFolder
from harness.search.storage.postgres import PostgresStorage
from harness.tracking.types import State
from harness.trial import LIST_FIELDS, TrialSpec

STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAIL: "FAILED",
    TrialState.RUNNING: "RUNNING",
}


@dataclass(frozen=True)
class Journal:
    """The content of a journal, up to its first damaged line."""

    path: str
    """The location, for messages."""
    version: object
    """Identifies the state that was read: it changes with every write."""
    is_truncated: bool
    """Whether the last line is incomplete, as a driver leaves it that dies while writing."""
    damage: str
    """Any other damage."""
    study_name: str
    """The study's original name; --fresh renames the file of the old study."""
    attrs: dict[str, Any]
    trials: tuple[FrozenTrial, ...]

    @property
    def uid(self) -> str:
        return str(self.attrs.get("uid", ""))

    @property
    def is_started(self) -> bool:
        return "definition" in self.attrs

    @property
    def requested_trials(self) -> int | None:
        return self.attrs.get("requested")

    @cached_property
    def config(self) -> StudyConfig:
        """The study's configuration. Raises ValueError where its definition cannot be read."""
        definition = self.attrs["definition"]
        return StudyConfig(
            study=StudyTable(name=self.study_name, **definition["study"]),
            data=DataTable(**definition["data"]),
            train=_restore_tuples(definition["train"]),
            space=SearchSpace.parse(definition["space"]),
            source=self.path,
            text="",
            settings={
                name: _restore_tuples(each)
                for name, each in definition.get(TRIAL_TABLE, {}).items()
            },
            code=definition.get("code", {}),
            limits=LimitsTable(**definition.get("limits", {})),
        )

    def trial_uid(self, number: int) -> str:
        return f"{self.uid}/{number}"

    def get_state(self, trial: FrozenTrial) -> State | None:
        """Return a trial's recorded state; None for one that waits to be retried."""
        if trial.state == TrialState.FAIL and trial.user_attrs.get("successor") is not None:
            return "INTERRUPTED"
        return STATES.get(trial.state)

    def get_ordinal(self, trial: FrozenTrial) -> int:
        """Return a trial's place among those that are not retries, recorded or derived."""
        recorded = trial.user_attrs.get("ordinal")
        if recorded is not None:
            return int(recorded)
        return sum("retry_of" not in each.user_attrs for each in self.trials[: trial.number])

    def get_spec(self, trial: FrozenTrial) -> TrialSpec:
        """Return a trial's settings as `Search` builds them. Raises ValueError."""
        params = get_sampled_params(trial)
        if params is None and not self.config.settings:
            return self.config.build_fixed_spec()
        return self.config.build_spec(FixedTrial(params or {}), self.get_ordinal(trial))

    def get_value(self, trial: FrozenTrial) -> float | None:
        return get_value(trial) if trial.state == TrialState.COMPLETE else None


def read_journal(place: StudyStorage, study: str) -> Journal | None:
    """Read a study's journal or database. Return None where there is none."""
    if isinstance(place, JournalFolder):
        return _read_file(place.journal_path(study))
    return _read_database(place, study) if isinstance(place, PostgresStorage) else None


def _read_database(place: PostgresStorage, name: str) -> Journal | None:
    if name not in place.list_studies():
        return None
    version, study = place.get_version(name), read_database(place, name)
    return Journal(
        place.describe(name), version, False, "", study.name, dict(study.attrs), study.trials
    )


def _read_file(path: Path) -> Journal | None:
    if not path.is_file():
        return None
    content = path.read_bytes()
    lines, records = content.splitlines(keepends=True), []
    is_truncated, damage = False, ""
    for number, line in enumerate(lines, 1):
        record = _parse_record(line)
        if record is None:
            is_truncated = not any(_parse_record(later) is not None for later in lines[number:])
            if not is_truncated:
                damage = f"line {number} is damaged, and intact records follow it"
            break
        records.append(record)
    study = OptunaStudy()
    try:
        study = read_records(records)
    except Exception as error:
        # Contradictory records raise whatever error Optuna runs into.
        damage = damage or f"Optuna cannot read it ({type(error).__name__}: {error})"
    return Journal(
        str(path), len(content), is_truncated, damage, study.name, dict(study.attrs), study.trials
    )


def _parse_record(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _restore_tuples(table: dict[str, Any]) -> dict[str, Any]:
    """Turn JSON lists of TrialSpec fields back into tuples."""
    return {name: tuple(value) if name in LIST_FIELDS else value for name, value in table.items()}
