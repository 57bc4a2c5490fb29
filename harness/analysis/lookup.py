"""A study or a trial by the name that a person types."""

from __future__ import annotations

import re

from harness.analysis.confirmation import kept_of, require_champion
from harness.errors import StudyError, did_you_mean
from harness.tracking.base import Tracker
from harness.tracking.types import RunRecord, StudyRun

MODELS = "models:/"
"""How the address of a registered model begins."""


def find_trial(tracker: Tracker, name: str) -> tuple[StudyRun, RunRecord]:
    """The run of a study's model, of `STUDY/12`, of an MLflow run id or of a registered model
    (`models:/NAME@champion`, `models:/NAME/3`), with its study.

    Raises StudyError.
    """
    if name.startswith(MODELS):
        return find_trial(tracker, _of_model(tracker, name))
    if re.fullmatch(r"[0-9a-f]{32}", name):
        study = tracker.read_run(name)
        if study is None:
            raise StudyError(f"no run of harness has the id {name}; `harness ui` shows them")
        own = [*study.trials, *study.confirmation_runs] if study.run_id != name else []
        run = own[0] if own else kept_of(study, require_champion(study))
        return study, _with_result(study, run)
    title, slash, number = name.partition("/")
    study = _read(tracker, title)
    if study is None and title in tracker.list_experiments():
        raise StudyError(
            f"'{title}' is no study, its runs stand alone; name one by its MLflow run id, which "
            f"`harness ui {title}` shows"
        )
    if study is None:
        raise _unknown(tracker, title)
    if not slash:
        return study, kept_of(study, require_champion(study))
    matching = [run for run in study.trials if str(run.number) == number]
    if not matching:
        last = max((run.number for run in study.trials), default=None)
        known_numbers = "it has none" if last is None else f"its trials are 0 to {last}"
        raise StudyError(f"no trial '{number}' in study '{title}'; {known_numbers}")
    return study, _with_result(study, matching[0])


def _of_model(tracker: Tracker, address: str) -> str:
    found = tracker.find_model_run(address)
    if found is None:
        known = [
            f"{MODELS}{each.name}@champion" for each in tracker.list_studies() if each.readings
        ]
        raise StudyError(
            f"no model of harness is registered as {address}{did_you_mean(address, known)}"
        )
    return found


def find_study(tracker: Tracker, name: str) -> StudyRun:
    """A study on record. Raises StudyError."""
    study = _read(tracker, name)
    if study is None:
        raise _unknown(tracker, name)
    return study


def _read(tracker: Tracker, name: str) -> StudyRun | None:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no text, which no store could look for
        return None
    return tracker.read_study(name)


def _unknown(tracker: Tracker, name: str) -> StudyError:
    known = [each.name for each in tracker.list_studies()]
    return StudyError(f"no study '{name}' on record{did_you_mean(name, known)}")


def _with_result(study: StudyRun, run: RunRecord) -> RunRecord:
    if run.best is None:
        why = f" ({run.reason})" if run.reason else ""
        raise StudyError(f"{study.name}/{run.number} has no result: it is {run.state.lower()}{why}")
    return run
