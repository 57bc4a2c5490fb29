"""Invariant 6: the test set was read once for each frozen selection, and every reading is told."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from harness.analysis.confirmation import champion_of, kept_of
from harness.doctor.check_best_trial import again, as_study, champion
from harness.doctor.check_trial_counts import latest
from harness.doctor.findings import AddPoints, Finding
from harness.doctor.snapshot import Snapshot
from harness.stats.regression import fitted
from harness.test_set.selection import hash_of
from harness.tracking.predictions import TEST_FILE, TestPredictions
from harness.tracking.raw_types import READINGS, Point
from harness.tracking.types import CONFIRM, UNCONFIRMED, StudyRun, TestReading

COPY = "restore the file from a copy"


def read_once(evidence: Snapshot) -> Iterator[Finding]:
    """Invariant 6."""
    journal, parent = evidence.journal, evidence.parent
    if journal is None or not journal.begun or parent is None:
        return
    if evidence.readings is None:
        yield Finding(6, READINGS, "cannot be read", remedy=COPY)
        return
    try:
        study = as_study(evidence)
    except (ValueError, KeyError, TypeError):
        return  # told under invariant 5
    frozen = selections(evidence)
    seen: set[tuple[str, int]] = set()
    for reading in evidence.readings:
        where = f"reading of trial {reading.number}"
        selection = frozen.get(reading.selection)
        if (reading.selection, reading.number) in seen:
            what = f"is there twice for selection {reading.selection[:12]}"
            yield Finding(6, where, what, remedy="each reading beyond the first is one too many")
        seen.add((reading.selection, reading.number))
        if selection is None:
            what = f"selection-{reading.selection[:12]}.json is missing, or its hash is another"
            yield Finding(6, where, what, remedy=COPY)
        elif not study.is_grid_or_list and selection["champion"] != journal.trial_uid(
            reading.number
        ):
            chosen = str(selection["champion"]).partition("/")[2]
            what = f"its selection had chosen trial {chosen}"
            yield Finding(6, where, what, remedy="the test set was opened for another one")
        elif reading.run and not study.is_grid_or_list and reading.run != _model(selection):
            what = "its selection had chosen another model"
            yield Finding(6, where, what, remedy="the test set was opened for another one")
        yield from _figures(evidence, reading)
        yield from _said(evidence, reading)
    for place, selection in frozen.items():
        yield from _chosen(study, place, selection)
    yield from _untold(evidence, study)
    yield from _of_the_champion(evidence, study)


def selections(evidence: Snapshot) -> dict[str, dict[str, Any]]:
    """What was frozen, by the hash; without those whose hash is not theirs."""
    found = {}
    for name, file in (evidence.parent.files if evidence.parent else {}).items():
        if not name.startswith("selection-") or file.content is None:
            continue
        try:
            told = json.loads(file.content)
            if hash_of(told) == told["hash"]:
                found[told["hash"]] = told
        except (ValueError, KeyError, TypeError):
            continue
    return found


def in_the_ledger(evidence: Snapshot) -> Iterator[Finding]:
    """Invariant 6: the ledger of the test set knows of every opening, as the one that it was."""
    if evidence.ledger is None:
        return
    known = evidence.ledger.selections()
    for reading in evidence.readings or ():
        place = known.index(reading.selection) + 1 if reading.selection in known else 0
        if reading.look and place != reading.look:
            told = f"tells of it as number {place}" if place else "does not tell of it"
            what = f"was opening number {reading.look} of this test set, and the ledger {told}"
            where = f"reading of trial {reading.number}"
            yield Finding(6, where, what, remedy=f"restore {evidence.ledger.path} from a copy")


def _model(selection: dict[str, Any]) -> str:
    """The uid of the run whose model was chosen."""
    return str(selection.get("model", selection["champion"]))


def _figures(evidence: Snapshot, reading: TestReading) -> Iterator[Finding]:
    """The trial's own run shows what was read of it."""
    where = f"reading of trial {reading.number}"
    run = evidence.run_of(reading)
    if run is None:
        if evidence.journal and reading.number >= len(evidence.journal.trials):
            yield Finding(6, where, "there is no such trial")
        return  # that it has no run is told under invariant 1
    when = int(reading.time * 1000)
    for key, value in _shown(reading):
        told = run.metrics.get(key)
        if told is None:
            mend = AddPoints(run.run_id, (Point(key, 0, value, when),), READINGS)
            yield Finding(6, where, f"the trial's run lacks {key} = {value:g}", mend)
        elif told != value:
            mend = AddPoints(run.run_id, (latest(run, key, value),), READINGS)
            yield Finding(6, where, f"the trial's run has {key} {told:g}, not {value:g}", mend)


def _said(evidence: Snapshot, reading: TestReading) -> Iterator[Finding]:
    """What the model said of each example comes to the reading's figures."""
    run = evidence.run_of(reading)
    content = run.content(TEST_FILE) if run else None
    if content is None:
        return
    where = f"trial {reading.number}'s {TEST_FILE}"
    try:
        same = _comes_to(TestPredictions.from_file(content), reading)
    except Exception as error:
        yield Finding(6, where, f"cannot be read ({type(error).__name__})", remedy=COPY)
        return
    if not same:
        yield Finding(6, where, "says something else than the reading", remedy=COPY)


def _comes_to(said: TestPredictions, reading: TestReading) -> bool:
    if reading.rmse is not None:
        return math.isclose(fitted(said.predicted, said.true)["rmse"], reading.rmse)
    classes = len(reading.confusion)
    cells = said.true.astype(int) * classes + said.predicted
    counted = np.bincount(cells, minlength=classes**2).reshape(classes, classes)
    return tuple(map(tuple, counted.tolist())) == reading.confusion


def _shown(reading: TestReading) -> list[tuple[str, float]]:
    """What runs show of it, by the names in MLflow."""
    return [(f"test/{name}", value) for name, value in reading.figures.items()]


def _chosen(study: StudyRun, place: str, selection: dict[str, Any]) -> Iterator[Finding]:
    """What was chosen is the best of what it was chosen from."""
    where = f"selection {place[:12]}"
    candidates = set(selection["candidates"])
    those = [run for run in study.trials if run.uid in candidates]
    if lacking := candidates - {run.uid for run in those if run.state == "COMPLETE"}:
        numbers = ", ".join(sorted(uid.partition("/")[2] for uid in lacking))
        yield Finding(6, where, f"chose among trials that are not complete: {numbers}")
        return
    confirming = [run for run in study.confirming if run.uid in selection.get("confirming", ())]
    then = CONFIRM if "model" in selection else UNCONFIRMED  # what it was chosen by at that time
    known = replace(study, trials=those, confirming=confirming, facts={CONFIRM: then})
    best = champion_of(known)
    if best is not None and best.uid == selection["champion"]:
        model = kept_of(known, best).uid
        if model != _model(selection):
            what = f"kept the model of {_model(selection)}, and the best is {model}"
            yield Finding(6, where, what)
    elif best is not None:
        chosen = str(selection["champion"]).partition("/")[2]
        what = f"chose trial {chosen}, and the best of its candidates is trial {best.number}"
        yield Finding(6, where, what)


def _untold(evidence: Snapshot, study: StudyRun) -> Iterator[Finding]:
    """A figure on the test set that no reading accounts for, once the study went to its end.

    Before that a driver may have died between the two: then the trial is read again.
    """
    runs = {run.run_id: run for run in evidence.runs.values()}
    runs |= {run.run_id: run for each in evidence.confirming.values() for run in each}
    for record in (*study.trials, *study.confirming) if evidence.concluded else ():
        metrics = runs[record.run_id].metrics if record.run_id in runs else {}
        shown = next((key for key in ("test/accuracy", "test/rmse") if key in metrics), "")
        if shown and study.reading_of(record) is None:
            what = f"its run has {shown}, and no reading in {READINGS} tells of it"
            yield Finding(6, f"trial {record.number}", what, remedy=COPY)


def _of_the_champion(evidence: Snapshot, study: StudyRun) -> Iterator[Finding]:
    """Of a study that went to its end."""
    best, parent = champion(evidence), evidence.parent
    if not evidence.concluded or best is None or parent is None:
        return
    kept = kept_of(study, best)
    wanted = study.best_first() if study.is_grid_or_list else [kept]
    for run in wanted:
        if study.reading_of(run) is None:
            what = "the test set was not read of it, and the study went to its end"
            yield Finding(6, f"trial {run.number}", what, remedy=f"go on: {again(evidence)}")
    reading = study.reading_of(kept)
    if reading is None:
        return
    for key, value in _shown(reading):
        if (told := parent.metrics.get(key)) != value:
            what = f"its run's {key} is {'missing' if told is None else f'{told:g}'}, the "
            mend = AddPoints(parent.run_id, (latest(parent, key, value),), READINGS)
            yield Finding(6, "the study", f"{what}reading of trial {best.number} {value:g}", mend)
