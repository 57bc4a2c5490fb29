"""The page of a recorded study; while the study runs, it is written again every few seconds.

A page that was opened from a file cannot fetch anything. So the newest page is also written as a
script in its folder, which an open page loads; see templates/live.js. A running study's page shows
no result of the test set.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.analysis.confirmation import find_champion
from harness.analysis.facts import count_states
from harness.analysis.formatting import format_count
from harness.analysis.lookup import find_study
from harness.analysis.summary import load_summary
from harness.config.study_tables import NAME_PATTERN
from harness.errors import StoreError, StudyError
from harness.reports.page import Page, Section
from harness.reports.study_page import build_study_page
from harness.system.signals import graceful_shutdown
from harness.test_set.selection import freeze_selection
from harness.tracking.types import TARGET_FACT, StudyRun
from harness.workspace import Workspace

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

INTERVAL, MAX_INTERVAL = 3.0, 15.0
"""Seconds between two updates."""
MAX_SHARE = 0.2
"""The share of the time that an update may take below MAX_INTERVAL: the study needs the cores."""
MAX_FAILURES = 10
"""Updates in a row that may fail because the store does not answer."""


def write_study_page(workspace: Workspace, name: str, tracking_uri: str | None) -> Path:
    """Write the page of a recorded study and return its path. Raises StudyError."""
    return _StudyPage(workspace, name, tracking_uri).write().path


def follow_study(
    workspace: Workspace,
    name: str,
    tracking_uri: str | None,
    show: Callable[[Path, bool], None],
) -> None:
    """Write the page of a study, and update it until the study's process has ended, or Ctrl-C.

    `show` is called once, with the page's path and whether the study runs.

    Raises:
        StudyError: the study is not on record.
        HarnessError: it has ended without a complete trial. The page shows that too.
    """
    page, failures, is_shown = _StudyPage(workspace, name, tracking_uri), 0, False
    with graceful_shutdown() as stop:
        while not stop.requested:
            try:
                written, failures = page.write(follow=True), 0
            except StoreError:  # the driver writes to it
                failures += 1
                if not is_shown or failures == MAX_FAILURES:
                    raise
            except StudyError:  # the driver ended before it recorded anything
                if is_shown:
                    page.write_empty(None, is_running=False)
                raise
            if not is_shown:
                show(written.path, written.is_running)
                is_shown = True
            if not written.is_running:
                break
            page.interval = min(max(INTERVAL, page.seconds / MAX_SHARE), MAX_INTERVAL)
            until = time.monotonic() + page.interval
            while time.monotonic() < until and not stop.requested:
                time.sleep(0.1)
        else:
            page.write()
    if not written.has_result:
        write_study_page(workspace, name, tracking_uri)  # raises the reason


@dataclass(frozen=True)
class _Written:
    path: Path
    is_running: bool
    has_result: bool


class _StudyPage:
    """The page of one study, from what is on record now."""

    def __init__(self, workspace: Workspace, name: str, tracking_uri: str | None) -> None:
        self._workspace, self._name = workspace, name
        self._uri = workspace.resolve_tracking_uri(tracking_uri)
        self._tracker: Tracker | None = None
        self.interval, self.seconds = INTERVAL, 0.0
        """The seconds to the next update, and those that the last one took."""

    def write(self, follow: bool = False) -> _Written:
        """Write the page.

        Args:
            follow: whether an open page updates itself while the study runs, and a page is written
                although no trial is complete.
        """
        # Before the record is read: what is read after the end is complete.
        is_running = self._is_running(self._name)
        study = self._read(is_running and follow)
        if study is not None and study.name != self._name:
            is_running = self._is_running(study.name)
        path, started = self._get_path(study), time.monotonic()
        interval = self.interval if follow and is_running else 0.0
        if study is not None and is_running:
            study = hide_test_results(study)
        if study is None or (follow and find_champion(study) is None):
            self.write_empty(study, is_running, interval)
        else:
            self._build(study, path, is_running).write(path, interval)
        self.seconds = time.monotonic() - started
        return _Written(path, is_running, study is not None and find_champion(study) is not None)

    def write_empty(self, study: StudyRun | None, is_running: bool, interval: float = 0.0) -> None:
        """Write the page of a study without a complete trial."""
        page = _build_empty_page(study, self._name, is_running)
        page.write(self._get_path(study), interval)

    def _build(self, study: StudyRun, path: Path, is_running: bool) -> Page:
        assert self._tracker is not None
        champion, store = freeze_selection(study).champion, self._workspace.format_uri(self._uri)
        summary = load_summary(study, champion, self._tracker, path, store)
        return build_study_page(summary, describe_progress(study, is_running))

    def _read(self, may_be_missing: bool) -> StudyRun | None:
        """Read the study; None if it `may_be_missing` because its driver has just started."""
        try:
            if self._tracker is None:
                self._tracker = self._workspace.open_tracker(self._uri, reading=True)
            return find_study(self._tracker, self._name)
        except StudyError:
            if may_be_missing:
                return None
            raise

    def _get_path(self, study: StudyRun | None) -> Path:
        folder = self._name
        if study is not None and study.name != self._name:
            folder = f"{study.name}.{study.uid}"
        return self._workspace.report_path(folder, self._uri)

    def _is_running(self, name: str) -> bool:
        """Whether a driver on this machine, or with this Optuna storage, works on the study."""
        if not re.match(NAME_PATTERN, name):
            return False  # a run id, or the name of no study
        try:
            return self._workspace.study_storage(self._uri).is_locked(name)
        except StoreError:
            return False


def hide_test_results(study: StudyRun) -> StudyRun:
    """Return the study without its results on the test set: they could influence who sees them."""
    metrics = {name: value for name, value in study.metrics.items() if "test" not in name}
    return replace(study, readings=(), metrics=metrics)


def describe_progress(study: StudyRun, is_running: bool) -> str:
    """`running: 12 of 50 trials, updated 14:03:22`; empty for a finished study."""
    if study.state == "COMPLETE" and not is_running:
        return ""
    counts = count_states(study)
    done = counts["COMPLETE"] + counts["PRUNED"] + counts["FAILED"]
    target = max(done, int(study.facts.get(TARGET_FACT, done)))
    parts = [f"{done:,} of {format_count(target, 'trial')}"]
    confirmed = sum(run.state == "COMPLETE" for run in study.confirmation_runs)
    if confirmed:
        parts.append(format_count(confirmed, "confirmation run"))
    return f"{'running' if is_running else 'not finished'}: {', '.join(parts)}, {_format_time()}"


def _build_empty_page(study: StudyRun | None, name: str, is_running: bool) -> Page:
    status = f"{'running' if is_running else 'not finished'}, {_format_time()}"
    if study is not None:
        status = describe_progress(study, is_running)
    text = "The study has ended, and no trial is complete."
    if is_running:
        text = "No trial is complete yet. The page shows the results as soon as there are some."
    failed = [run for run in study.trials if run.state == "FAILED"] if study else []
    if failed:
        text += f" The last failure, trial {failed[-1].number}: {failed[-1].reason}"
    return Page(
        title=study.name if study else name,
        subtitle=study.definition["data"]["name"] if study else "",
        sections=[Section(name="verdict", title="No result", text=text)],
        trials={},
        selected=[],
        status=status,
    )


def _format_time() -> str:
    return f"updated {time.strftime('%H:%M:%S')}"
