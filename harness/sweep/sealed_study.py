"""`harness test STUDY`: open the test set that `run-study --no-test` left sealed.

The choice is on record from then: its selection, registered model and report. It is read back and
must be the same; only then is the test set opened for it, and only once.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analysis.ensemble_record import load_ensemble
from harness.analysis.lookup import find_study
from harness.analysis.summary import Summary, load_summary
from harness.analysis.test_set_facts import format_opening
from harness.data.prepare import PreparedDataset
from harness.errors import StudyError
from harness.models.user_code import importable_from
from harness.sweep.ensemble_test import is_ensemble_unread
from harness.sweep.finalize import close_finished_study
from harness.sweep.process_state import use_process
from harness.sweep.progress import ProgressDisplay
from harness.sweep.recorded_inputs import check_recorded_code, prepare_recorded_data
from harness.sweep.recovery import close_on_error
from harness.sweep.test_opening import is_frozen, open_test_set
from harness.system.signals import StopFlag
from harness.test_set.selection import Selection, freeze_selection, list_unread_runs
from harness.tracking.base import Tracker
from harness.tracking.raw_types import STUDY_FILE
from harness.tracking.types import MODEL_FOLDER_FACT, StudyRecord, StudyRun
from harness.workspace import Workspace


@dataclass(frozen=True)
class SealedStudyResult:
    """A study whose test set is open."""

    summary: Summary
    was_open: bool
    """Whether the test set had been opened for this choice before."""

    def describe_opening(self) -> str:
        """Return that the test set was opened already, and its result."""
        reading, study = self.summary.reading, self.summary.study
        assert reading is not None
        look = f" ({format_opening(reading)})" if reading.look else ""
        return (
            f"the test set was already opened for '{study.name}'{look} and is not read again: "
            f"{study.score.format_score(reading, full=True)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain values, for --format json."""
        return self.summary.to_dict() | {"already_open": self.was_open}


def open_sealed_test_set(
    workspace: Workspace,
    name: str,
    *,
    watcher: ProgressDisplay,
    data_dir: Path | None = None,
    tracking_uri: str | None = None,
) -> SealedStudyResult:
    """Open the test set for a finished study's frozen choice; record and report the result.

    A test set that was opened for it before is not read again.

    Raises:
        StudyError: there is no such study, it has not finished, or another driver runs it.
        DataError: the data is not that of the study.
        Interruption: a signal stopped it before the test set was read.
    """
    uri = workspace.resolve_tracking_uri(tracking_uri)
    reader = workspace.open_tracker(uri, reading=True)
    study = find_study(reader, name)
    if not study.has_test_set:
        raise StudyError(f"study '{study.name}' has no test set: its [data] has test = 0")
    selection = freeze_selection(study)
    ensemble = load_ensemble(reader, study, selection.champion)
    if not list_unread_runs(study, selection) and not is_ensemble_unread(ensemble):
        path, store = workspace.report_path(study.name, uri), workspace.format_uri(uri)
        summary = load_summary(study, selection.champion, reader, path, store)
        return SealedStudyResult(summary, was_open=True)
    _check_frozen(reader, study, selection)
    folder = Path(study.facts.get(MODEL_FOLDER_FACT, "."))
    with use_process() as stop, importable_from(folder, Path.cwd()):
        for run in list_unread_runs(study, selection):
            check_recorded_code(f"'{study.name}' cannot be tested", run.spec)
        prepared = prepare_recorded_data(study, study.facts, data_dir)
        summary = _test_and_close(
            workspace, tracking_uri, study, selection, prepared, watcher, stop
        )
    return SealedStudyResult(summary, was_open=False)


def _check_frozen(tracker: Tracker, study: StudyRun, selection: Selection) -> None:
    """Raise StudyError if the choice is not on record: the study has not finished."""
    if not is_frozen(tracker, study, selection):
        command = study.facts.get("command") or f"harness run-study {shlex.quote(study.name)}"
        raise StudyError(
            f"study '{study.name}' has not finished, so there is no final choice to test; finish "
            f"it with: {command}"
        )


def _test_and_close(
    workspace: Workspace,
    tracking_uri: str | None,
    study: StudyRun,
    selection: Selection,
    prepared: PreparedDataset,
    watcher: ProgressDisplay,
    stop: StopFlag,
) -> Summary:
    """Open the test set under the study's lock, and record the result through the outbox."""
    uri = workspace.resolve_tracking_uri(tracking_uri)
    with (
        workspace.study_storage(uri).lock(study.name),
        workspace.open_outbox(study.name, tracking_uri, watcher.message, stop) as tracker,
    ):
        tracker.ended_cleanly = True  # no trial is trained
        text = tracker.read_file(study.run_id, STUDY_FILE) or b""
        with close_on_error(tracker, study.uid, stop):
            tracker.open_study(_rebuild_record(study, prepared, text.decode()))
            now = tracker.read_study(study.name, study.uid)
            if now is None or freeze_selection(now).hash != selection.hash:
                name = study.name
                raise StudyError(f"study '{name}' was changed meanwhile; run the command again")
            ensemble = load_ensemble(tracker, now, selection.champion)
            if list_unread_runs(now, selection) or is_ensemble_unread(ensemble):
                now = open_test_set(
                    workspace, prepared, tracker, selection, now, watcher, stop, ensemble
                )
            summary = close_finished_study(workspace, uri, tracker, now, selection, watcher)
        tracker.flush()
    return summary


def _rebuild_record(study: StudyRun, prepared: PreparedDataset, text: str) -> StudyRecord:
    """Return the study's record as it was, to open it for writing."""
    return StudyRecord(
        name=study.name,
        uid=study.uid,
        text=text,
        definition=study.definition,
        facts=study.facts,
        dataset=prepared.name,
        dataset_digest=prepared.digest,
        dataset_source=prepared.location,
        sizes=prepared.sizes,
        classes=study.classes,
        validation_labels=prepared.training.validation_labels(),
        continued=True,
    )
