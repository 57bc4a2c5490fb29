"""Finalize a study: freeze the choice, register the champion, read the test set, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis import misclassified
from harness.analysis.data_quality import compute_data_metrics
from harness.analysis.formatting import format_count
from harness.analysis.summary import Summary, load_summary
from harness.config.schema import GRID_OR_LIST
from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.errors import Interruption
from harness.models import baselines, export
from harness.models.custom import CustomModel
from harness.models.mlp import MLP, load_model
from harness.reports.page import Page
from harness.reports.study_page import build_study_page
from harness.search.study import Search
from harness.sweep.confirm import list_missing_runs
from harness.sweep.plan import Plan
from harness.sweep.progress import ProgressDisplay
from harness.sweep.recovery import read_own_study, require_own_study
from harness.system.failpoints import failpoint
from harness.system.signals import StopFlag
from harness.test_set.opening import read_test_set
from harness.test_set.selection import Selection, freeze_selection, list_unread_runs
from harness.tracking.predictions import TEST_PREDICTIONS_FILE
from harness.tracking.types import CONFIRM_FACT, RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.data.torch_datasets import SealedTest, Split
    from harness.test_set.log import TestSetLog
    from harness.tracking.base import Tracker
    from harness.tracking.outbox import OutboxTracker


def finalize_study(
    plan: Plan,
    prepared: PreparedDataset,
    sealed: SealedTest,
    tracker: OutboxTracker,
    search: Search,
    watcher: ProgressDisplay,
    stop: StopFlag,
) -> Summary:
    """Choose the champion from the record, read the test set if needed, close the study's run.

    Steps that an earlier run has finished are skipped. Raises Interruption.
    """
    watcher.stage("choosing the champion")
    study = require_own_study(tracker, search)
    selection = freeze_selection(study)
    champion, waiting = selection.champion, list_unread_runs(study, selection)
    if _find_registered_run(tracker, study) != selection.model_run.uid:
        _check_not_interrupted(stop)
        watcher.stage(f"exporting the model of trial {champion.number}")
        _register_champion(plan, prepared, tracker, selection, study, watcher)
    # A champion is tested once: a resumed study that keeps it does not open the test set again.
    if waiting:
        again = " again" if study.readings else ""
        count = format_count(len(waiting), "trial")
        trials = f", in one opening, for {count}" if study.is_grid_or_list else ""
        part = "test set" if study.test_name == "test" else "stand-in for the test set"
        watcher.stage(f"opening the {part}{again}{trials}")
        _check_not_interrupted(stop)
        log = plan.workspace.test_set_log(prepared.test_digest)
        test_baselines = None if study.classes else _fit_baselines(prepared, tracker, study)
        study = _read_test_set(tracker, sealed, log, selection, study, waiting, test_baselines)
    watcher.stage("writing the report")
    summary, page = _write_report(plan, tracker, study, selection)
    assert summary.reading is not None
    failpoint("conclude.reported")
    tracker.log_file(search.uid, "report.html", page.render_inline().encode())
    watcher.stage("recording the results")
    assert champion.best is not None
    metrics = {
        **champion.best.best_metrics,
        # In a resumed list, the champion may have been tested by an earlier run.
        **{f"test/{name}": value for name, value in summary.reading.figures.items()},
        **summary.metrics(),
        **compute_data_metrics(study),
        "trials/complete": search.counts.complete,
        "trials/pruned": search.counts.pruned,
        "trials/failed": search.counts.failed,
    }
    expected_best = summary.expected_best
    curves = {expected_best.metric_name: expected_best.curve} if expected_best else {}
    note = summary.markdown()
    tracker.close_study(search.uid, "COMPLETE", note=note, metrics=metrics, curves=curves)
    failpoint("conclude.closed")
    return summary


def load_finished_summary(plan: Plan, tracker: Tracker, search: Search) -> Summary | None:
    """Return the summary of a finished study, and None if anything is left to do."""
    study = read_own_study(tracker, search)
    if study is None or not study.rank_trials():
        return None
    is_confirmed = plan.config.study.sampler in GRID_OR_LIST or (
        study.facts.get(CONFIRM_FACT) == plan.confirmation_rule
        and not list_missing_runs(plan, study)
    )
    selection = freeze_selection(study)
    if list_unread_runs(study, selection) or study.state != "COMPLETE" or not is_confirmed:
        return None
    return _write_report(plan, tracker, study, selection)[0]


def _find_registered_run(tracker: Tracker, study: StudyRun) -> str | None:
    """Return the uid of the run whose model is registered.

    Its misclassified examples are logged after the model, so their file shows that it is there.
    """
    content = tracker.read_file(study.run_id, misclassified.MISTAKES_FILE)
    if not content:
        return None
    mistakes = misclassified.Mistakes.from_file(content)
    return mistakes.run or f"{study.uid}/{mistakes.number}"


def _register_champion(
    plan: Plan,
    prepared: PreparedDataset,
    tracker: Tracker,
    selection: Selection,
    study: StudyRun,
    watcher: ProgressDisplay,
) -> None:
    """Register the champion's model and log its mistakes on the validation set."""
    kept, classes = selection.model_run, study.classes
    model = _load_model(tracker, study, kept)
    files, score = prepared.training, study.score
    example = np.zeros((2, *files.shape), files.dtype)
    takes = "images as uint8" if files.dtype == "uint8" else f"{files.shape} float32"
    gives = f"logits for {', '.join(classes)}" if classes else f"{score.target} in its own units"
    note = (
        f"Study '{study.name}', trial {kept.number}: {kept.spec.describe()}, seed "
        f"{kept.spec.seed}. Validation {score.name} {score.format_value(kept.score)}. Takes "
        f"{takes}, any batch size; gives {gives}."
    )
    problem = export.find_export_problem(model, example) if kept.spec.model else ""
    if problem:
        watcher.message(f"the model cannot be exported; its weights are kept ({problem})")
        tracker.log_file(
            study.uid, export.NOT_EXPORTED_FILE, export.export_problem_to_json(kept.uid, problem)
        )
    else:
        metadata: dict[str, Any] = (
            {"classes": list(classes)} if classes else {"target": files.target}
        )
        if files.columns:
            metadata["columns"] = list(files.columns)
        tracker.log_champion(plan.config.study.name, model, example, kept, note, metadata)
    mistakes = misclassified.Mistakes(kept.number, 0, ())
    if classes:
        validation = load_splits(files).validation
        mistakes = misclassified.find_mistakes(kept.number, model, validation, kept.spec.loss)
    failpoint("conclude.champion")
    mistakes = replace(mistakes, run=kept.uid)
    tracker.log_file(study.uid, misclassified.MISTAKES_FILE, mistakes.to_file())


def _read_test_set(
    tracker: Tracker,
    sealed: SealedTest,
    log: TestSetLog,
    selection: Selection,
    study: StudyRun,
    waiting: Sequence[RunRecord],
    test_baselines: Callable[[Split], None] | None,
) -> StudyRun:
    """Record the selection, then open the test set for the trials in `waiting`.

    Each trial's reading is recorded at once: after a crash, only the other trials are read.
    """
    for run in waiting:  # missing weights must show before the test set is opened
        _load_model(tracker, study, run)
    document = selection.to_dict() | {"hash": selection.hash, "time": time.time()}
    tracker.log_selection(study.uid, document)
    failpoint("conclude.selected")
    # A generator: only one model at a time is in memory.
    trained = ((r.uid, r.number, r.spec.loss, _load_model(tracker, study, r)) for r in waiting)
    name = (study.name, study.uid)
    results = read_test_set(selection.hash, name, sealed, log, trained, test_baselines)
    readings = []
    for run, (reading, predictions) in zip(waiting, results, strict=True):
        tracker.log_file(run.uid, TEST_PREDICTIONS_FILE, predictions.to_bytes())
        failpoint("conclude.opened")
        tracker.log_test(study.uid, reading, run.number == selection.champion.number)
        failpoint("conclude.read")
        readings.append(reading)
    return replace(study, readings=(*study.readings, *readings))


def _fit_baselines(
    prepared: PreparedDataset, tracker: OutboxTracker, study: StudyRun
) -> Callable[[Split], None]:
    """Fit the baselines; return a callback that tests them on the opened test set."""
    splits = load_splits(prepared.training)
    models = baselines.fit_baselines(splits)
    validation = baselines.Baselines(
        {"validation": baselines.evaluate_baselines(models, splits.validation)}
    )

    def record(test: Split) -> None:
        both = validation.with_split("test", baselines.evaluate_baselines(models, test))
        tracker.log_file(study.uid, baselines.BASELINES_FILE, both.to_json())

    return record


def _check_not_interrupted(stop: StopFlag) -> None:
    if stop.requested:
        raise Interruption(
            "interrupted before the test set was read; rerun the same command to continue"
        )


def _load_model(tracker: Tracker, study: StudyRun, run: RunRecord) -> MLP | CustomModel:
    return load_model(run.spec, len(study.classes), tracker.load_weights(run.uid))


def _write_report(
    plan: Plan, tracker: Tracker, study: StudyRun, selection: Selection
) -> tuple[Summary, Page]:
    """Build the summary and write its page."""
    path = plan.workspace.report_path(study.name, plan.resolved_tracking_uri)
    store = plan.workspace.format_uri(plan.resolved_tracking_uri)
    summary = load_summary(study, selection.champion, tracker, path, store)
    page = build_study_page(summary)
    page.write(path)
    return summary, page
