"""`harness report`: a study's page, from what the tracker holds."""

from __future__ import annotations

from pathlib import Path

from harness.frozen import freeze
from harness.home import Home
from harness.named import find_study
from harness.reports.study import report
from harness.verdict import Verdict


def write_again(home: Home, name: str, tracking_uri: str | None) -> Path:
    """Write the report of the study `name`; returns its path. Raises StudyError."""
    tracker = home.open_tracker(tracking_uri, reading=True)
    study = find_study(tracker, name)
    champion = freeze(study).champion
    uri = home.tracking_uri(tracking_uri)
    path = home.report(name, uri)
    report(Verdict.of(study, champion, tracker, path, home.shown(uri))).write(path)
    return path
