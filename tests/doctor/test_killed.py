"""What SIGKILL leaves of a real driver: reported, and repaired without starting the study again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.api.run import run_study
from harness.cli.studies_table import list_studies
from harness.errors import StudyError
from tests.doctor.example_study import STUDY, Record

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("place", "done"),
    [
        ("driver.recorded:3", 3),  # the trial's end is in the outbox, the journal does not have it
        ("driver.reported:5", 1),  # in the middle of a trial, which is tried again
    ],
)
def test_a_killed_drivers_record_is_mended(tmp_path: Path, place: str, done: int) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    code = (
        "import sys; from harness.api.run import run_study; "
        "run_study(sys.argv[1], home=sys.argv[2], device='cpu', workers=0)"
    )
    killed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(path), str(tmp_path / "mlruns")],
        env=os.environ | {"HARNESS_FAILPOINT": place},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    record = Record(tmp_path / "mlruns")
    if not (record.root / "mlflow.db").exists():  # MLflow was still being imported
        with pytest.raises(StudyError, match="to send tiny: harness sync"):
            record.workspace.open_tracker(reading=True)
        warnings: list[str] = []
        assert list_studies(record.workspace, None, warnings.append) == []
        assert warnings == [
            "study 'tiny': nothing was sent yet; run it again, or: harness sync tiny"
        ]
    findings = record.check_study()
    assert not any("backup" in str(each) for each in findings.findings), findings.lines
    assert {each.invariant for each in findings.findings} >= {3}, findings.lines
    record.expect_repaired()
    states = [record.journal.get_state(trial) for trial in record.journal.trials]
    ended = sum(state in ("COMPLETE", "PRUNED", "FAILED") for state in states)
    assert ended == done
    assert not (record.root / "spool" / "tiny.spool").exists()
    run_study(path, home=record.root, device="cpu", workers=0)
    after = record.check_study()
    assert after.healthy, after.lines
    assert not after.notes
    assert after.summary.startswith("6 trials, ")
