"""The page of a study that runs, was stopped or crashed, from a real store and with a real lock."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import HarnessError, StudyError
from harness.reports import live_page
from harness.reports.live_page import follow_study, write_study_page
from harness.reports.page import UPDATE
from harness.tracking.types import TARGET_FACT, StudyRun
from harness.workspace import Workspace
from tests.support.synthetic_study import make_study, record_study

FAILED_STUDY = "failing"


@pytest.fixture(scope="module")
def study() -> StudyRun:
    study = make_study(8, epochs=2)
    return replace(study, facts=study.facts | {TARGET_FACT: "20"})


@pytest.fixture(scope="module")
def workspace(study: StudyRun, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two studies that are recorded as running: one with results, one without."""
    workspace = Workspace(tmp_path_factory.mktemp("live") / "mlruns")
    record_study(study, workspace.open_tracker(), is_finished=False)
    failed = replace(study.trials[0], uid="f/0", state="FAILED", reason="a bad day", epochs=())
    failing = replace(study, name=FAILED_STUDY, uid="f", trials=(failed,), readings=())
    record_study(failing, workspace.open_tracker(), is_finished=False)
    return workspace


@contextmanager
def hold_lock(workspace: Workspace, name: str) -> Iterator[None]:
    """Hold a study's lock as its driver does."""
    with workspace.study_storage(workspace.local_uri).lock(name):
        yield


def find_status(text: str) -> str:
    match = re.search(r'id="status"[^>]*>([^<]*)<', text)
    assert match
    return match[1]


def follow(
    workspace: Workspace, name: str, monkeypatch: pytest.MonkeyPatch, stop_after: int = 0
) -> list[str]:
    """Follow a study that is running during the first update; return the pages written."""
    pages: list[str] = []
    lock = hold_lock(workspace, name)
    lock.__enter__()
    write, held = live_page.Page.write, [lock]

    def write_and_keep(page: live_page.Page, path: Path, interval: float = 0.0) -> None:
        write(page, path, interval)
        pages.append(path.read_text())
        if stop_after and len(pages) == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        elif not stop_after and held:
            held.pop().__exit__(None, None, None)  # the driver ends

    monkeypatch.setattr(live_page.Page, "write", write_and_keep)
    monkeypatch.setattr(live_page, "INTERVAL", 0.2)
    monkeypatch.setattr(live_page, "MAX_INTERVAL", 0.2)
    try:
        follow_study(workspace, name, None, lambda *_: None)
    finally:
        for each in held:
            each.__exit__(None, None, None)
    return pages


def test_a_running_study_is_updated_until_it_ends_and_shows_no_test_result(
    workspace: Workspace, study: StudyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, ended = follow(workspace, study.name, monkeypatch)
    done = sum(run.state in ("COMPLETE", "PRUNED", "FAILED") for run in study.trials)
    assert find_status(running).startswith(f"running: {done} of 20 trials, updated ")
    assert 'data-interval="' in running
    (reading,) = study.readings
    result = f"{100 * reading.accuracy:.2f} %"
    assert result not in running
    assert "Best so far" in running
    assert "load_model" not in running
    # Its driver ended without closing the study: not finished, and nothing to wait for.
    assert find_status(ended).startswith(f"not finished: {done} of 20 trials")
    assert "data-interval" not in ended
    assert result in ended, "the test set was opened before"
    path = workspace.report_path(study.name, workspace.local_uri)
    assert "data-interval" not in path.with_name(UPDATE).read_text().replace("dataset", "")


def test_ctrl_c_leaves_a_page_that_is_not_updated(
    workspace: Workspace, study: StudyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = follow(workspace, study.name, monkeypatch, stop_after=1)
    assert 'data-interval="' in first
    assert "data-interval" not in last
    assert find_status(last).startswith("running: ")


def test_a_study_without_a_result_has_a_page_while_it_runs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HarnessError, match=r"no trial is complete.*a bad day"):
        follow(workspace, FAILED_STUDY, monkeypatch)
    path = workspace.report_path(FAILED_STUDY, workspace.local_uri)
    text = path.read_text()
    assert "The study has ended, and no trial is complete. The last failure, trial 0" in text
    assert "data-interval" not in text
    with pytest.raises(HarnessError, match="no trial is complete"):
        write_study_page(workspace, FAILED_STUDY, None)


def test_a_study_that_has_just_started_is_waited_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StudyError, match="no study 'young' on record"):
        follow(workspace, "young", monkeypatch)
    text = workspace.report_path("young", workspace.local_uri).read_text()
    assert find_status(text).startswith("not finished, updated ")
    assert "data-interval" not in text
    with pytest.raises(StudyError, match="no study 'younger' on record"):
        follow_study(workspace, "younger", None, lambda *_: None)


def test_a_study_that_crashed_is_not_waited_for(workspace: Workspace, study: StudyRun) -> None:
    shown: list[tuple[Path, bool]] = []
    thread = threading.Thread(
        target=follow_study,
        args=(workspace, study.name, None, lambda *values: shown.append(values)),
    )
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    ((path, is_running),) = shown
    assert not is_running
    assert find_status(path.read_text()).startswith("not finished: ")
    assert "data-interval" not in path.read_text()
