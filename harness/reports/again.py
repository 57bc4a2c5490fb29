"""`harness report`: a study's page, from what the tracker holds."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.lookup import find_study
from harness.analysis.summary import Summary
from harness.reports.study_page import report
from harness.test_set.selection import freeze
from harness.workspace import Workspace


def write_again(workspace: Workspace, name: str, tracking_uri: str | None) -> Path:
    """Write the report of the study `name`; returns its path. Raises StudyError."""
    tracker = workspace.open_tracker(tracking_uri, reading=True)
    study = find_study(tracker, name)
    champion = freeze(study).champion
    uri = workspace.resolve_tracking_uri(tracking_uri)
    path = workspace.report_path(name, uri)
    report(Summary.of(study, champion, tracker, path, workspace.format_uri(uri))).write(path)
    return path
