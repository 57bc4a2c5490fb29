"""A study that a stop rule ends: what is recorded, and how it is continued."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.workspace import Workspace
from tests.support.digits_study import STUDY

pytestmark = pytest.mark.slow


def run(folder: Path, rule: str) -> StudyResult:
    text = STUDY.replace("trials = 6", f'trials = 12\nstop_when = "{rule}"')
    (folder / "tiny.toml").write_text(text.replace("epochs = 3", "epochs = 1"))
    return run_study(
        folder / "tiny.toml", home=folder / "mlruns", workers=0, confirm=False, progress=False
    )


def test_the_summary_says_what_was_saved_until_the_study_is_continued(tmp_path: Path) -> None:
    stop = run(tmp_path, "2 trials").summary.to_dict()["stop"]
    assert stop["planned"] == 12
    assert stop["reason"] == "no better trial in the last 2"
    assert 3 <= stop["trials"] < 12
    assert stop["seconds_saved"] > 0
    report = check_studies(Workspace(tmp_path / "mlruns"), None)
    assert report.text() == f"tiny  healthy: {stop['trials']} trials, {stop['trials']} complete"
    again = run(tmp_path, "2 trials")
    assert again.summary.to_dict()["stop"] == stop
    continued = run(tmp_path, "never")
    assert len(continued.trials) == 12
    assert continued.summary.to_dict()["stop"] is None
