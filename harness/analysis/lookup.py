"""Find a recorded study or trial by the name that a user typed."""

from __future__ import annotations

import re

from harness.analysis.confirmation import find_model_run, require_champion
from harness.errors import LIST_STUDIES, StudyError, did_you_mean
from harness.tracking.base import Tracker
from harness.tracking.types import RunRecord, StudyRun

MODEL_URI_PREFIX = "models:/"
ENSEMBLE_NAME = "@ensemble"
"""The end of the name of a study's ensemble; no study's name has an @."""
RUN_ID = re.compile("[0-9a-f]{32}")


def find_trial(tracker: Tracker, name: str) -> tuple[StudyRun, RunRecord]:
    """Return the run that a name means, with its study.

    Args:
        name: a study (its registered model's run), `STUDY/12` (a trial), an MLflow run id, or a
            registered model (`models:/NAME@champion`, `models:/NAME/3`).

    Raises:
        StudyError: there is no such run, or it has no result.
    """
    if name.endswith(ENSEMBLE_NAME):
        raise _ensemble_error(name)
    if name.startswith(MODEL_URI_PREFIX):
        return find_trial(tracker, _find_model_run_id(tracker, name))
    if RUN_ID.fullmatch(name):
        study = tracker.read_run(name)
        if study is None:
            raise StudyError(f"no run of harness has the id {name}; `harness ui` lists the runs")
        runs = [*study.trials, *study.confirmation_runs] if study.run_id != name else []
        run = runs[0] if runs else find_model_run(study, require_champion(study))
        return study, _require_result(study, run)
    title, slash, number = name.partition("/")
    study = _read_study(tracker, title)
    if study is None and title in tracker.list_experiments():
        raise StudyError(
            f"'{title}' is not a study but single runs; give the MLflow run id of one, which "
            f"`harness ui {title}` shows"
        )
    if study is None:
        raise _unknown_study_error(tracker, title)
    if not slash:
        return study, find_model_run(study, require_champion(study))
    matches = [run for run in study.trials if str(run.number) == number]
    if not matches:
        last = max((run.number for run in study.trials), default=None)
        known_numbers = "it has none" if last is None else f"its trials are 0 to {last}"
        raise StudyError(f"no trial '{number}' in study '{title}'; {known_numbers}")
    return study, _require_result(study, matches[0])


def find_study(tracker: Tracker, name: str) -> StudyRun:
    """Return the recorded study of that name or MLflow run id. Raises StudyError."""
    study = tracker.read_run(name) if RUN_ID.fullmatch(name) else None
    if study is not None and study.run_id != name:
        raise StudyError(f"run {name} is a run of study '{study.name}'; give the study's name")
    study = study or _read_study(tracker, name)
    if study is None:
        raise _unknown_study_error(tracker, name)
    return study


def _find_model_run_id(tracker: Tracker, model_uri: str) -> str:
    run_id = tracker.find_model_run(model_uri)
    if run_id is None and tracker.find_ensemble(model_uri) is not None:
        raise _ensemble_error(model_uri)
    if run_id is None:
        known = [
            f"{MODEL_URI_PREFIX}{study.name}@champion"
            for study in tracker.list_studies()
            if study.rank_trials()
        ]
        raise StudyError(
            f"no model of harness is registered as {model_uri}{did_you_mean(model_uri, known)}"
        )
    return run_id


def _read_study(tracker: Tracker, name: str) -> StudyRun | None:
    try:
        name.encode()
    except UnicodeEncodeError:  # undecodable bytes, which no tracking store can look up
        return None
    return tracker.read_study(name)


def _ensemble_error(name: str) -> StudyError:
    return StudyError(f"{name} is an ensemble of trials; give one of them, as STUDY/12")


def _unknown_study_error(tracker: Tracker, name: str) -> StudyError:
    known = [study.name for study in tracker.list_studies()]
    return StudyError(f"no study '{name}' on record{did_you_mean(name, known, LIST_STUDIES)}")


def _require_result(study: StudyRun, run: RunRecord) -> RunRecord:
    if run.best is None:
        why = f" ({run.reason})" if run.reason else ""
        raise StudyError(f"{study.name}/{run.number} has no result: it is {run.state.lower()}{why}")
    return run
