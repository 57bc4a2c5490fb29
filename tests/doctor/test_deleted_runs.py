"""Runs that somebody deleted in MLflow: reported before another trial becomes the champion."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.entities import ViewType

from harness.analysis.lookup import find_trial
from harness.api.run import run_study
from harness.cli.studies_table import list_studies
from harness.errors import StudyError
from harness.reports.live_page import write_study_page
from tests.doctor.example_study import (
    CHAMPION,
    COMPLETE,
    FAILED,
    INTERRUPTED,
    PRUNED,
    STUDY,
    Record,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("how", ["deleted", "purged"])
@pytest.mark.parametrize("trials", [6, 7])
def test_no_other_trial_becomes_the_champion(
    record: Record, tmp_path: Path, how: str, trials: int
) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    run_id = record.run(CHAMPION).info.run_id
    if how == "deleted":
        record.client.delete_run(run_id)
    else:
        record.sql("DELETE FROM tags WHERE run_uuid = ?", run_id)
    logs = {path: path.read_bytes() for path in record.workspace.test_set_folder.iterdir()}
    assert logs
    pattern = rf"'tiny': the MLflow run of trial {CHAMPION} was deleted.*doctor --repair tiny"
    with pytest.raises(StudyError, match=pattern):
        run_study(tmp_path / "tiny.toml", home=record.root, device="cpu", workers=0, trials=trials)
    assert {path: path.read_bytes() for path in logs} == logs  # the test set was not opened
    assert len(record.journal.trials) == 11  # nothing was trained
    if how == "deleted":  # without the journal, only this can be seen
        with pytest.raises(StudyError, match=pattern):
            write_study_page(record.workspace, "tiny", None)
        tracker = record.workspace.open_tracker(None, reading=True)
        with pytest.raises(StudyError, match=pattern):
            find_trial(tracker, "tiny")
        assert find_trial(tracker, "tiny/0")[1].number == 0
        warnings: list[str] = []
        (row,) = list_studies(record.workspace, None, warnings.append)
        assert (row["best"], row["test"], len(warnings)) == (None, None, 1)


def test_a_duplicate_that_the_doctor_deleted_is_not_missed(record: Record) -> None:
    first = record.run(CHAMPION)
    twin = record.client.create_run(first.info.experiment_id, tags=first.data.tags)
    record.client.delete_run(twin.info.run_id)
    assert len(record.runs(record.journal.trial_uid(CHAMPION), ViewType.ALL)) == 2
    write_study_page(record.workspace, "tiny", None)


def test_deleted_trials_count_as_the_doctor_counts_them(record: Record) -> None:
    def count() -> int:
        (row,) = list_studies(record.workspace, None, warnings.append)
        return int(row["done"])

    warnings: list[str] = []
    assert record.check_study().summary.startswith("6 trials, ")
    for number in (INTERRUPTED, COMPLETE, PRUNED, FAILED):
        record.client.delete_run(record.run(number).info.run_id)
        assert count() == 6
        assert bool(warnings) == (number != INTERRUPTED)  # its retry has the result
    assert record.check_study().summary.startswith("6 trials, ")
