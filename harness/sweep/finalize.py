"""After a sweep: freeze the choice, keep the champion, read the test set, write the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis import misclassified
from harness.analysis.data_quality import data_metrics
from harness.analysis.expected_best import expected
from harness.analysis.summary import Summary
from harness.config.schema import GRID_OR_LIST
from harness.data.prepare import Prepared
from harness.data.torch_datasets import load_splits
from harness.errors import Interruption, StoreError
from harness.models import baselines, export
from harness.models.custom import CustomModel
from harness.models.mlp import MLP, load_model
from harness.reports.page import Page
from harness.reports.study_page import report
from harness.search.study import Search
from harness.sweep.confirm import missing
from harness.sweep.driver import ProgressDisplay
from harness.sweep.plan import Plan
from harness.system.failpoints import failpoint
from harness.system.signals import Stop
from harness.test_set.opening import read_test
from harness.test_set.selection import Selection, freeze, unread
from harness.tracking.predictions import TEST_FILE
from harness.tracking.types import CONFIRM, RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.data.torch_datasets import Part, SealedTest
    from harness.test_set.log import TestSetLog
    from harness.tracking.base import Tracker
    from harness.tracking.outbox import OutboxTracker


def conclude(
    planned: Plan,
    prepared: Prepared,
    sealed: SealedTest,
    tracker: OutboxTracker,
    search: Search,
    watcher: ProgressDisplay,
    stop: Stop,
) -> Summary:
    """Draw the conclusion from what is on record and close the study's run."""
    study = _read(tracker, planned)
    selection = freeze(study)
    champion, waiting = selection.champion, unread(study, selection)
    if _kept(tracker, study) != selection.kept.uid:
        _go_on(stop)
        watcher.message(f"chosen: trial {champion.number}; keeping its model")
        _keep(planned, prepared, tracker, selection, study, watcher)
    # One look for a champion: going on with a study that keeps it does not open the set again.
    if waiting:
        again = " again" if study.readings else ""
        of = f", in one opening, for {len(waiting)} trials" if study.is_grid_or_list else ""
        part = "test set" if study.test_name == "test" else "stand-in for the test set"
        watcher.message(f"reading the {part}{again}{of}")
        _go_on(stop)
        ledger = planned.home.ledger(prepared.test_digest)
        beside = None if study.classes else _baselines(prepared, tracker, study)
        study = _open_test(tracker, sealed, ledger, selection, study, waiting, beside)
    verdict, page = _report(planned, tracker, study, selection)
    assert verdict.reading is not None
    failpoint("conclude.reported")
    tracker.log_file(search.uid, "report.html", page.inlined().encode())
    assert champion.best is not None
    metrics = {
        **champion.best.best_figures,
        # Of a list that went on, the champion may be a trial that was read before.
        **{f"test/{name}": value for name, value in verdict.reading.figures.items()},
        **verdict.metrics(),
        **data_metrics(study),
        "trials/complete": search.counts.complete,
        "trials/pruned": search.counts.pruned,
        "trials/failed": search.counts.failed,
    }
    best_of = expected(study)
    curves = {best_of.metric: best_of.curve} if best_of else {}
    note = verdict.markdown()
    tracker.close(search.uid, "COMPLETE", note=note, metrics=metrics, curves=curves)
    failpoint("conclude.closed")
    return verdict


def settled(planned: Plan, tracker: Tracker, search: Search) -> Summary | None:
    """The verdict of a study that needs nothing more, or None where something is missing."""
    study = tracker.read(planned.config.study.name)
    if study is None or study.uid != search.uid or not study.best_first():
        return None
    as_asked = planned.config.study.sampler in GRID_OR_LIST or (
        study.facts.get(CONFIRM) == planned.confirming and not missing(planned, study)
    )
    selection = freeze(study)
    if unread(study, selection) or study.state != "COMPLETE" or not as_asked:
        return None
    return _report(planned, tracker, study, selection)[0]


def _kept(tracker: Tracker, study: StudyRun) -> str | None:
    """The uid of the run whose model is registered: its mistakes are written after it."""
    content = tracker.read_file(study.run_id, misclassified.FILE)
    found = misclassified.Mistakes.from_file(content) if content else None
    return (found.run or f"{study.uid}/{found.number}") if found else None


def _keep(
    planned: Plan,
    prepared: Prepared,
    tracker: Tracker,
    selection: Selection,
    study: StudyRun,
    watcher: ProgressDisplay,
) -> None:
    """Register the champion's model, and show its mistakes on the validation part."""
    kept, classes = selection.kept, study.classes
    model = _model(tracker, study, kept)
    files, score = prepared.training, study.score
    example = np.zeros((2, *files.shape), files.dtype)
    takes = "images as uint8" if files.dtype == "uint8" else f"{files.shape} float32"
    gives = f"logits for {', '.join(classes)}" if classes else f"{score.target} in its own units"
    note = (
        f"Study '{study.name}', trial {kept.number}: {kept.spec.describe()}, seed "
        f"{kept.spec.seed}. Validation {score.name} {score.text(kept.score)}. Takes "
        f"{takes}, any batch size; gives {gives}."
    )
    why_not = export.why_not(model, example) if kept.spec.model else ""
    if why_not:
        watcher.message(f"the model cannot be exported, its weights are kept: {why_not}")
        tracker.log_file(study.uid, export.FILE, export.to_file(kept.uid, why_not))
    else:
        told: dict[str, Any] = {"classes": list(classes)} if classes else {"target": files.target}
        if files.columns:
            told["columns"] = list(files.columns)
        tracker.log_champion(planned.config.study.name, model, example, kept, note, told)
    found = misclassified.Mistakes(kept.number, 0, ())
    if classes:
        validation = load_splits(files).validation
        found = misclassified.find(kept.number, model, validation, kept.spec.loss)
    failpoint("conclude.champion")
    found = replace(found, run=kept.uid)
    tracker.log_file(study.uid, misclassified.FILE, found.to_file())


def _open_test(
    tracker: Tracker,
    sealed: SealedTest,
    ledger: TestSetLog,
    selection: Selection,
    study: StudyRun,
    waiting: Sequence[RunRecord],
    beside: Callable[[Part], None] | None,
) -> StudyRun:
    """Write the selection down, then open the test set for the trials that wait for it.

    What is read of a trial is recorded at once: after a crash, only those without are read.
    """
    for run in waiting:  # weights that are gone are found out before the seal is broken
        _model(tracker, study, run)
    told = selection.to_dict() | {"hash": selection.hash, "time": time.time()}
    tracker.log_selection(study.uid, told)
    failpoint("conclude.selected")
    # One model at a time is in memory, and read from the store.
    trained = ((r.uid, r.number, r.spec.loss, _model(tracker, study, r)) for r in waiting)
    named = (study.name, study.uid)
    opened = read_test(selection.hash, named, sealed, ledger, trained, beside)
    readings = []
    for run, (reading, said) in zip(waiting, opened, strict=True):
        tracker.log_file(run.uid, TEST_FILE, said.to_file())
        failpoint("conclude.opened")
        tracker.log_test(study.uid, reading, run.number == selection.champion.number)
        failpoint("conclude.read")
        readings.append(reading)
    return replace(study, readings=(*study.readings, *readings))


def _baselines(
    prepared: Prepared, tracker: OutboxTracker, study: StudyRun
) -> Callable[[Part], None]:
    """What puts the baselines on record with their figures on the test part, when it is opened."""
    splits = load_splits(prepared.training)
    models = baselines.fit(splits)
    found = baselines.Baselines({"validation": baselines.judge(models, splits.validation)})

    def on_test(part: Part) -> None:
        both = found.with_part("test", baselines.judge(models, part))
        tracker.log_file(study.uid, baselines.FILE, both.to_file())

    return on_test


def _go_on(stop: Stop) -> None:
    if stop.requested:
        raise Interruption("interrupted before the test set was read; the same command goes on")


def _model(tracker: Tracker, study: StudyRun, run: RunRecord) -> MLP | CustomModel:
    return load_model(run.spec, len(study.classes), tracker.weights(run.uid))


def _read(tracker: Tracker, planned: Plan) -> StudyRun:
    study = tracker.read(planned.config.study.name)
    if study is None:
        raise StoreError(f"study '{planned.config.study.name}' has vanished from its store")
    return study


def _report(
    planned: Plan, tracker: Tracker, study: StudyRun, selection: Selection
) -> tuple[Summary, Page]:
    """The verdict, and its page, which is written."""
    path = planned.home.report(study.name, planned.store)
    shown = planned.home.shown(planned.store)
    verdict = Summary.of(study, selection.champion, tracker, path, shown)
    page = report(verdict)
    page.write(path)
    return verdict, page
