"""Invariant 6: the test set was read once per frozen selection, and every reading is recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from harness.analysis.confirmation import find_champion, find_model_run
from harness.checks.check_best_trial import build_study_run, compute_champion, get_study_command
from harness.checks.check_trial_counts import build_latest_point
from harness.checks.findings import AddPoints, Finding, format_metric
from harness.checks.snapshot import Snapshot
from harness.errors import HarnessError, StoreError
from harness.stats.regression import compute_regression_metrics
from harness.test_set.example_files import load_examples
from harness.test_set.selection import RULE_RACED, freeze_selection, hash_selection
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.tracking.raw_types import (
    READINGS_FILE,
    SELECTION_PREFIX,
    Point,
    selection_file,
)
from harness.tracking.test_reading import TestReading
from harness.tracking.types import CONFIRM_FACT, RACE_RULE, UNCONFIRMED, StudyRun

RESTORE_FILE = "restore the file from a backup"
PARTS = ("test", "training")
"""The fields of a line of the test-set log that name a file of examples."""


def check_readings(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 6 for the recorded readings and selections."""
    journal, parent = snapshot.journal, snapshot.study_run
    if journal is None or not journal.is_started or parent is None:
        return
    if snapshot.readings is None:
        yield Finding(6, READINGS_FILE, "cannot be read", remedy=RESTORE_FILE)
        return
    try:
        study = build_study_run(snapshot)
    except (ValueError, KeyError, TypeError):
        return  # reported under invariant 5
    frozen = load_selections(snapshot)
    seen: set[tuple[str, int]] = set()
    for reading in snapshot.readings:
        location = f"reading of trial {reading.number}"
        selection = frozen.get(reading.selection)
        if (reading.selection, reading.number) in seen:
            problem = f"is there twice for selection {reading.selection[:12]}"
            yield Finding(
                6, location, problem, remedy="each reading beyond the first is one too many"
            )
        seen.add((reading.selection, reading.number))
        if selection is None:
            problem = f"{selection_file(reading.selection)} is missing, or its hash is another"
            yield Finding(6, location, problem, remedy=RESTORE_FILE)
        elif not study.is_grid_or_list and selection["champion"] != journal.trial_uid(
            reading.number
        ):
            chosen = str(selection["champion"]).partition("/")[2]
            problem = f"its selection had chosen trial {chosen}"
            yield Finding(6, location, problem, remedy="the test set was opened for another one")
        elif reading.run and not study.is_grid_or_list and reading.run != _get_model_uid(selection):
            problem = "its selection had chosen another model"
            yield Finding(6, location, problem, remedy="the test set was opened for another one")
        yield from _check_reading_metrics(snapshot, reading)
        yield from _check_test_predictions(snapshot, reading)
    for place, selection in frozen.items():
        yield from _check_selection(study, place, selection)
    yield from _find_unrecorded_readings(snapshot, study)
    yield from _check_champion_reading(snapshot, study)


def load_selections(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """Load the frozen selections by hash, without those whose hash does not match."""
    selections = {}
    for name, file in (snapshot.study_run.files if snapshot.study_run else {}).items():
        if not name.startswith(SELECTION_PREFIX) or file.content is None:
            continue
        try:
            recorded = json.loads(file.content)
            if hash_selection(recorded) == recorded["hash"]:
                selections[recorded["hash"]] = recorded
        except (ValueError, KeyError, TypeError):
            continue
    return selections


def check_log(snapshot: Snapshot) -> Iterator[Finding]:
    """Check that the test-set log is complete, and has every opening with its recorded number."""
    log = snapshot.test_set_log
    if log is None:
        return
    restore = f"restore {log.path} from a backup"
    for reading in snapshot.readings or ():
        opening = log.find_opening(reading.selection)
        if reading.look and (opening is None or opening.look != reading.look):
            recorded = f"has it as number {opening.look}" if opening else "does not have it"
            problem = f"was opening number {reading.look} of this test set, but the log {recorded}"
            yield Finding(6, f"reading of trial {reading.number}", problem, remedy=restore)
    for number in log.list_broken_lines():
        problem = f"line {number} does not follow the line before: a line was removed or changed"
        yield Finding(6, str(log.path), problem, remedy=restore)
    names = {str(line[part]) for line in log.read_lines() for part in PARTS if part in line}
    for name in sorted(names):
        try:
            load_examples(log.path.parent, name)
        except StoreError as error:
            place, _, problem = str(error).partition(": ")
            yield Finding(6, place, problem.partition(";")[0], remedy=RESTORE_FILE)


def _get_model_uid(selection: dict[str, Any]) -> str:
    """Return the uid of the run whose model was selected."""
    return str(selection.get("model", selection["champion"]))


def _check_reading_metrics(snapshot: Snapshot, reading: TestReading) -> Iterator[Finding]:
    """Check that the trial's run has the metrics of its reading."""
    location = f"reading of trial {reading.number}"
    run = snapshot.find_run(reading)
    if run is None:
        if snapshot.journal and reading.number >= len(snapshot.journal.trials):
            yield Finding(6, location, "there is no such trial")
        return  # a missing run is reported under invariant 1
    when = int(reading.time * 1000)
    for key, value in _list_reading_metrics(reading):
        recorded = run.metrics.get(key)
        if recorded is None:
            fix = AddPoints(run.run_id, (Point(key, 0, value, when),), READINGS_FILE)
            yield Finding(6, location, f"the trial's run lacks {key} = {value:g}", fix)
        elif recorded != value:
            fix = AddPoints(run.run_id, (build_latest_point(run, key, value),), READINGS_FILE)
            yield Finding(
                6, location, f"the trial's run has {key} {recorded:g}, not {value:g}", fix
            )


def _check_test_predictions(snapshot: Snapshot, reading: TestReading) -> Iterator[Finding]:
    """Check that the stored test predictions give the metrics of the reading."""
    run = snapshot.find_run(reading)
    content = run.file_content(TEST_PREDICTIONS_FILE) if run else None
    if content is None:
        return
    location = f"trial {reading.number}'s {TEST_PREDICTIONS_FILE}"
    try:
        same = matches_reading(TestPredictions.from_bytes(content), reading)
    except Exception as error:
        yield Finding(6, location, f"cannot be read ({type(error).__name__})", remedy=RESTORE_FILE)
        return
    if not same:
        yield Finding(6, location, "does not agree with the reading", remedy=RESTORE_FILE)


def matches_reading(predictions: TestPredictions, reading: TestReading) -> bool:
    """Whether predictions on the test set give the figures of a reading."""
    if reading.rmse is not None:
        return math.isclose(
            compute_regression_metrics(predictions.predicted, predictions.true)["rmse"],
            reading.rmse,
        )
    classes = len(reading.confusion)
    cells = predictions.true.astype(int) * classes + predictions.predicted
    counted = np.bincount(cells, minlength=classes**2).reshape(classes, classes)
    return tuple(map(tuple, counted.tolist())) == reading.confusion


def _list_reading_metrics(reading: TestReading) -> list[tuple[str, float]]:
    """List the metrics of a reading by their names in MLflow."""
    return [(f"test/{name}", value) for name, value in reading.figures.items()]


def _check_selection(study: StudyRun, place: str, selection: dict[str, Any]) -> Iterator[Finding]:
    """Check that a selection chose the best of its candidates."""
    location = f"selection {place[:12]}"
    candidates = set(selection["candidates"])
    those = [run for run in study.trials if run.uid in candidates]
    if lacking := candidates - {run.uid for run in those if run.state == "COMPLETE"}:
        numbers = ", ".join(sorted(uid.partition("/")[2] for uid in lacking))
        yield Finding(6, location, f"chose among trials that are not complete: {numbers}")
        return
    confirming = [
        run for run in study.confirmation_runs if run.uid in selection.get("confirming", ())
    ]
    then = CONFIRM_FACT if "model" in selection else UNCONFIRMED  # the rule in force at that time
    if selection["rule"] == RULE_RACED.format(objective=study.objective):
        then = RACE_RULE
    known = replace(study, trials=those, confirmation_runs=confirming, facts={CONFIRM_FACT: then})
    best = find_champion(known)
    if best is not None and best.uid == selection["champion"]:
        model = find_model_run(known, best).uid
        if model != _get_model_uid(selection):
            problem = f"kept the model of {_get_model_uid(selection)}, and the best is {model}"
            yield Finding(6, location, problem)
    elif best is not None:
        chosen = str(selection["champion"]).partition("/")[2]
        problem = f"chose trial {chosen}, and the best of its candidates is trial {best.number}"
        yield Finding(6, location, problem)


def _find_unrecorded_readings(snapshot: Snapshot, study: StudyRun) -> Iterator[Finding]:
    """Find test metrics of a finished study that no reading accounts for.

    In an unfinished study the driver may have died between the two; the trial is then read again.
    """
    runs = {run.run_id: run for run in snapshot.runs.values()}
    runs |= {run.run_id: run for each in snapshot.confirmation_runs.values() for run in each}
    for record in (*study.trials, *study.confirmation_runs) if snapshot.is_finished else ():
        metrics = runs[record.run_id].metrics if record.run_id in runs else {}
        metric = next((key for key in ("test/accuracy", "test/rmse") if key in metrics), "")
        if metric and study.find_reading(record) is None:
            problem = f"its run has {metric}, but no reading in {READINGS_FILE}"
            yield Finding(6, f"trial {record.number}", problem, remedy=RESTORE_FILE)


def _check_champion_reading(snapshot: Snapshot, study: StudyRun) -> Iterator[Finding]:
    """Check that a finished study read the test set for its champion and reports the metrics.

    After --no-test the set is sealed: the selection is on record and was never opened.
    """
    best, parent = compute_champion(snapshot), snapshot.study_run
    if not snapshot.is_finished or best is None or parent is None:
        return
    model_run = find_model_run(study, best)
    wanted = study.rank_trials() if study.is_grid_or_list else [model_run]
    for run in wanted:
        if study.find_reading(run) is None and not _is_sealed(snapshot, study):
            problem = "the study finished without reading the test set for it"
            yield Finding(
                6,
                f"trial {run.number}",
                problem,
                remedy=f"continue with: {get_study_command(snapshot)}",
            )
    reading = study.find_reading(model_run)
    if reading is None:
        return
    for key, value in _list_reading_metrics(reading):
        if (recorded := parent.metrics.get(key)) != value:
            problem = f"its run's {key} is {format_metric(recorded)}, the "
            fix = AddPoints(parent.run_id, (build_latest_point(parent, key, value),), READINGS_FILE)
            yield Finding(6, "the study", f"{problem}reading of trial {best.number} {value:g}", fix)


def _is_sealed(snapshot: Snapshot, study: StudyRun) -> bool:
    """Whether the current choice is on record and the test set was not opened for it."""
    try:
        digest = freeze_selection(study).hash
    except HarnessError:
        return False
    log = snapshot.test_set_log
    opened = log.list_selections() if log is not None else []
    return digest in load_selections(snapshot) and digest not in opened
