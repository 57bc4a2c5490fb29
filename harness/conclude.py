"""After a sweep: freeze the choice, keep the champion, read the test set, write the report."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness import mistakes
from harness.data.files import Prepared
from harness.data.parts import load_splits
from harness.driver import Watcher
from harness.errors import Interruption, StoreError
from harness.model import load_mlp
from harness.plan import Plan
from harness.reports.page import Page
from harness.reports.study import report
from harness.search import Search
from harness.selection import Selection, freeze, read_test
from harness.signals import Stop
from harness.tracking.records import StudyRun
from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.data.parts import SealedTest
    from harness.tracking.base import Tracker


def conclude(
    planned: Plan,
    prepared: Prepared,
    sealed: SealedTest,
    tracker: Tracker,
    search: Search,
    watcher: Watcher,
    stop: Stop,
) -> Verdict:
    """Draw the conclusion from what is on record and close the study's run."""
    study = _read(tracker, planned)
    selection = freeze(study)
    champion = selection.champion
    # One look for a champion: going on with a study that keeps it does not open the set again.
    if all(reading.number != champion.number for reading in study.readings):
        watcher.message(f"chosen: trial {champion.number}; keeping its model, reading the test set")
        study = _keep_and_read(planned, prepared, sealed, tracker, selection, study, stop)
    verdict, page = _report(planned, tracker, study, selection)
    tracker.log_file(search.uid, "report.html", page.inlined().encode())
    assert champion.best is not None
    metrics = {
        "best/val_accuracy": champion.best.val_accuracy,
        "best/val_loss": champion.best.val_loss,
        "trials/complete": search.counts.complete,
        "trials/pruned": search.counts.pruned,
        "trials/failed": search.counts.failed,
    }
    tracker.close(search.uid, "COMPLETE", note=verdict.markdown(), metrics=metrics)
    return verdict


def settled(planned: Plan, tracker: Tracker, search: Search) -> Verdict | None:
    """The verdict of a study that needs nothing more, or None where something is missing."""
    study = tracker.read(planned.config.study.name)
    if study is None or study.uid != search.uid or not study.best_first():
        return None
    selection = freeze(study)
    if all(reading.number != selection.champion.number for reading in study.readings):
        return None
    return _report(planned, tracker, study, selection)[0]


def _keep_and_read(
    planned: Plan,
    prepared: Prepared,
    sealed: SealedTest,
    tracker: Tracker,
    selection: Selection,
    study: StudyRun,
    stop: Stop,
) -> StudyRun:
    """Register the champion's model, write the selection down, then open the test set."""
    champion, classes = selection.champion, prepared.training.classes
    model = load_mlp(champion.spec, len(classes), tracker.weights(champion.uid))
    example = np.zeros((2, *prepared.training.shape), np.uint8)
    assert champion.best is not None
    note = (
        f"Study '{study.name}', trial {champion.number}: {champion.spec.describe()}. Validation "
        f"accuracy {champion.best.val_accuracy:.4f}. Takes images as uint8, any batch size; gives "
        f"logits for {', '.join(classes)}."
    )
    if stop.requested:
        raise Interruption("interrupted before the test set was read; the same command goes on")
    tracker.log_champion(planned.config.study.name, model, example, champion, note)
    validation = load_splits(prepared.training).validation
    found = mistakes.find(champion.number, model, validation, champion.spec.loss)
    tracker.log_file(study.uid, mistakes.FILE, found.to_file())
    tracker.log_selection(study.uid, selection.to_dict() | {"time": time.time()})
    loss = champion.spec.loss
    reading = read_test(selection.hash, champion.number, model, sealed, loss)
    tracker.log_test(study.uid, reading)
    return replace(study, readings=(*study.readings, reading))


def _read(tracker: Tracker, planned: Plan) -> StudyRun:
    study = tracker.read(planned.config.study.name)
    if study is None:
        raise StoreError(f"study '{planned.config.study.name}' has vanished from its store")
    return study


def _report(
    planned: Plan, tracker: Tracker, study: StudyRun, selection: Selection
) -> tuple[Verdict, Page]:
    """The verdict, and its page, which is written."""
    path = planned.home.report(study.name, planned.store)
    shown = planned.home.shown(planned.store)
    verdict = Verdict.of(study, selection.champion, tracker, path, shown)
    page = report(verdict)
    page.write(path)
    return verdict, page
