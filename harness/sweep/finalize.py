"""Finalize a study: freeze the choice, register the champion, read the test set, report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis import misclassified
from harness.analysis.data_quality import compute_data_metrics
from harness.analysis.ensemble_record import load_ensemble
from harness.analysis.facts import count_states
from harness.analysis.front import FRONT_FILE, compute_front
from harness.analysis.summary import Summary, load_summary
from harness.analysis.trial_ranks import compute_rank_metrics
from harness.config.schema import GRID_OR_LIST
from harness.data.prepare import PreparedDataset
from harness.models import export
from harness.reports.page import Page
from harness.reports.study_page import build_study_page
from harness.search.study import Search
from harness.sweep.confirm import list_missing_runs
from harness.sweep.ensemble_test import is_ensemble_unread
from harness.sweep.final_model import list_missing_models
from harness.sweep.model_description import build_metadata, describe_interface
from harness.sweep.plan import Plan
from harness.sweep.progress import ProgressDisplay
from harness.sweep.recovery import read_own_study, require_own_study
from harness.sweep.table_record import build_scoring
from harness.sweep.test_opening import (
    check_not_interrupted,
    is_frozen,
    load_recorded_model,
    open_test_set,
    record_sealed_selection,
)
from harness.system.failpoints import failpoint
from harness.system.signals import StopFlag
from harness.test_set.selection import Selection, freeze_selection, list_unread_runs
from harness.tracking.base import TEMPERATURE
from harness.tracking.types import CONFIRM_FACT, ENSEMBLE_FACT, NO_ENSEMBLE, State, StudyRun
from harness.workspace import Workspace

if TYPE_CHECKING:
    from torch import nn

    from harness.tracking.base import Tracker
    from harness.tracking.outbox import OutboxTracker
    from harness.tracking.types import RunRecord
    from harness.trial import Loss

ENDED_STATES: tuple[State, ...] = ("COMPLETE", "PRUNED", "FAILED")


def finalize_study(
    plan: Plan,
    prepared: PreparedDataset,
    tracker: OutboxTracker,
    search: Search,
    watcher: ProgressDisplay,
    stop: StopFlag,
) -> Summary:
    """Choose the champion from the record, read the test set if needed, close the study's run.

    With --no-test, the choice is recorded and the test set stays sealed. Steps that an earlier run
    has finished are skipped. Raises Interruption.
    """
    from harness.sweep.ensemble import make_ensemble

    watcher.stage("choosing the champion")
    study = require_own_study(tracker, search)
    selection = freeze_selection(study)
    if _find_registered_model(tracker, study) != (selection.model_run.uid, study.is_calibrated):
        check_not_interrupted(stop)
        watcher.stage(f"exporting the model of trial {selection.champion.number}")
        _register_champion(plan, prepared, tracker, selection, study, watcher)
    ensemble = make_ensemble(plan, prepared, tracker, selection, study, watcher, stop)
    # A champion is tested once: a resumed study that keeps it does not open the test set again.
    if list_unread_runs(study, selection) or is_ensemble_unread(ensemble):
        if plan.opens_test_set:
            study = open_test_set(
                plan.workspace, prepared, tracker, selection, study, watcher, stop, ensemble
            )
        else:
            record_sealed_selection(plan.workspace, prepared, tracker, selection, study)
    uri = plan.resolved_tracking_uri
    return close_finished_study(plan.workspace, uri, tracker, study, selection, watcher)


def close_finished_study(
    workspace: Workspace,
    uri: str,
    tracker: Tracker,
    study: StudyRun,
    selection: Selection,
    watcher: ProgressDisplay,
) -> Summary:
    """Write the report and the final metrics, and close the study's run as COMPLETE."""
    watcher.stage("writing the report")
    summary, page = _write_report(workspace, uri, tracker, study, selection)
    failpoint("conclude.reported")
    if front := compute_front(study):
        tracker.log_file(study.uid, FRONT_FILE, front.to_json())
    tracker.log_file(study.uid, "report.html", page.render_inline().encode())
    watcher.stage("recording the results")
    assert selection.champion.best is not None
    # In a resumed list, the champion may have been tested by an earlier run.
    test = summary.reading.figures if summary.reading else {}
    counts = count_states(study)
    metrics = {
        **selection.champion.best.best_metrics,
        **{f"test/{name}": value for name, value in test.items()},
        **summary.metrics(),
        **compute_data_metrics(study),
        **{f"trials/{state.lower()}": counts[state] for state in ENDED_STATES},
    }
    expected_best = summary.expected_best
    curves = {expected_best.metric_name: expected_best.curve} if expected_best else {}
    note = summary.markdown()
    tracker.close_study(
        study.uid,
        "COMPLETE",
        note=note,
        metrics=metrics,
        curves=curves,
        trial_metrics=compute_rank_metrics(study, selection.champion),
    )
    failpoint("conclude.closed")
    return summary


def load_finished_summary(
    plan: Plan, prepared: PreparedDataset, tracker: Tracker, search: Search
) -> Summary | None:
    """Return the summary of a finished study, and None if anything is left to do."""
    study = read_own_study(tracker, search)
    if study is None or not study.rank_trials():
        return None
    is_confirmed = plan.config.study.sampler in GRID_OR_LIST or (
        study.facts.get(CONFIRM_FACT) == plan.confirmation_rule
        and study.margin == plan.config.confirm.margin
        and not list_missing_runs(plan, prepared, study, tracker)
    )
    if study.facts.get(ENSEMBLE_FACT, NO_ENSEMBLE) != plan.ensemble_rule:
        return None
    selection = freeze_selection(study)
    ensemble = load_ensemble(tracker, study, selection.champion)
    if study.ensemble_rule and ensemble is None:
        return None
    if list_missing_models(tracker, study):
        return None
    if (list_unread_runs(study, selection) or is_ensemble_unread(ensemble)) and (
        plan.opens_test_set or not is_frozen(tracker, study, selection)
    ):
        return None
    is_registered = study.is_calibrated == plan.config.study.calibrated
    if study.state != "COMPLETE" or not is_confirmed or not is_registered:
        return None
    uri = plan.resolved_tracking_uri
    return _write_report(plan.workspace, uri, tracker, study, selection)[0]


def _find_registered_model(tracker: Tracker, study: StudyRun) -> tuple[str, bool] | None:
    """Return the uid of the run whose model is registered, and whether that model is calibrated.

    Its misclassified examples are logged after the model, so their file shows that it is there.
    """
    content = tracker.read_file(study.run_id, misclassified.MISTAKES_FILE)
    if not content:
        return None
    mistakes = misclassified.Mistakes.from_file(content)
    return mistakes.run or f"{study.uid}/{mistakes.number}", mistakes.calibrated


def _register_champion(
    plan: Plan,
    prepared: PreparedDataset,
    tracker: Tracker,
    selection: Selection,
    study: StudyRun,
    watcher: ProgressDisplay,
) -> None:
    """Register the champion's model; log its calibration and mistakes on the validation set."""
    from harness.sweep.calibrate import build_registered_model, record_calibration
    from harness.sweep.fold_outputs import select_final_files

    kept = selection.model_run
    network = load_recorded_model(tracker, study, kept)
    calibration = record_calibration(prepared, tracker, study, kept, network)
    prepared = select_final_files(prepared)
    failpoint("conclude.calibrated")
    model, loss, temperature = build_registered_model(study, kept, network, calibration)
    if study.is_calibrated and temperature is None:
        watcher.message("the model is not calibrated: its validation set is of another split")
    files, score = prepared.training, study.score
    example = np.zeros((2, *files.shape), files.dtype)
    note = (
        f"Study '{study.name}', trial {kept.number}: {kept.spec.describe()}, seed "
        f"{kept.spec.seed}. Validation {score.name} {score.format_value(kept.score)}. "
        f"{describe_interface(prepared, study)}"
    )
    note += f" Calibrated with temperature {temperature:.3g}." if temperature else ""
    problem = export.find_export_problem(model, example) if kept.spec.model else ""
    if problem:
        watcher.message(f"the model cannot be exported; its weights are kept ({problem})")
        tracker.log_file(
            study.uid, export.NOT_EXPORTED_FILE, export.export_problem_to_json(kept.uid, problem)
        )
    else:
        metadata = build_metadata(prepared, study)
        metadata |= {TEMPERATURE: temperature} if temperature else {}
        scoring = build_scoring(prepared, tracker, kept, loss)
        tracker.log_champion(plan.config.study.name, model, example, kept, note, metadata, scoring)
    mistakes = misclassified.Mistakes(kept.number, 0, ())
    if study.classes:
        mistakes = _find_mistakes(prepared, tracker, kept, model, loss, temperature)
    failpoint("conclude.champion")
    mistakes = replace(mistakes, run=kept.uid, calibrated=study.is_calibrated)
    tracker.log_file(study.uid, misclassified.MISTAKES_FILE, mistakes.to_file())


def _find_mistakes(
    prepared: PreparedDataset,
    tracker: Tracker,
    run: RunRecord,
    model: nn.Module,
    loss: Loss,
    temperature: float | None,
) -> misclassified.Mistakes:
    """Find the mistakes on the validation set, or of each fold's network on its own."""
    from harness.sweep.fold_outputs import compute_fold_outputs, join_validation_sets

    validation = join_validation_sets(prepared.training)
    if not prepared.training.folds:
        return misclassified.find_mistakes(run.number, model, validation, loss)
    from harness.engine.losses import compute_probabilities
    from harness.models.calibrated import CALIBRATED_LOSS, compute_class_scores

    logits = compute_fold_outputs(prepared, run, tracker.load_weights(run.uid))
    trained_by = run.spec.loss
    if temperature is not None:
        logits = compute_class_scores(trained_by, logits) / temperature
        trained_by = CALIBRATED_LOSS
    probabilities = compute_probabilities(trained_by, logits)
    return misclassified.list_mistakes(run.number, probabilities, validation)


def _write_report(
    workspace: Workspace, uri: str, tracker: Tracker, study: StudyRun, selection: Selection
) -> tuple[Summary, Page]:
    """Build the summary and write its page."""
    path, store = workspace.report_path(study.name, uri), workspace.format_uri(uri)
    summary = load_summary(study, selection.champion, tracker, path, store)
    page = build_study_page(summary)
    page.write(path)
    return summary, page
