"""Violations that only an edited or damaged record has: named, and repaired where possible."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.checks.report import check_studies
from tests.doctor.example_study import CHAMPION, COMPLETE, FAILED, INTERRUPTED, Record

pytestmark = pytest.mark.slow
RETRY = CHAMPION
"""The retry of INTERRUPTED."""
CREATE_TRIAL = 4
"""Optuna's number for it in a journal."""


def list_messages(record: Record) -> list[str]:
    return [f"{each.invariant} {each}" for each in record.check_study().findings]


def edit_journal(record: Record, trial: int, change: Callable[[dict[str, Any]], None]) -> None:
    """Change each journal entry of a trial."""
    entries = [json.loads(line) for line in record.journal_path.read_text().splitlines()]
    created = [entry for entry in entries if entry["op_code"] == CREATE_TRIAL]
    for entry in entries:
        if entry is created[trial] or entry.get("trial_id") == trial:
            change(entry)
    lines = [json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries]
    record.journal_path.write_text("".join(lines))


def set_attribute(name: str, value: int) -> Callable[[dict[str, Any]], None]:
    def change(entry: dict[str, Any]) -> None:
        for key in ("user_attr", "user_attrs"):
            if name in entry.get(key, {}):
                entry[key][name] = value

    return change


def set_param(name: str, value: float) -> Callable[[dict[str, Any]], None]:
    def change(entry: dict[str, Any]) -> None:
        if entry.get("param_name") == name:
            entry["param_value_internal"] = value

    return change


def remove_reason(entry: dict[str, Any]) -> None:
    if "reason" in entry.get("user_attr", {}):
        entry["user_attr"] = {"other": 1}


def make_batch_norm_invalid(entry: dict[str, Any]) -> None:
    if entry.get("param_name") == "batch_norm":
        entry["distribution"] = entry["distribution"].replace("before", "between")
        entry["param_value_internal"] = 1


EDITS = {
    "retried twice": (7, set_attribute("retry_of", 1), "4 trial 1: was retried twice, as 6 and 7"),
    "complete, but retried": (
        RETRY,
        set_attribute("retry_of", COMPLETE),
        "4 trial 0: counts as complete, but was retried as 6",
    ),
    "attempt": (RETRY, set_attribute("attempt", 9), "4 trial 6: is attempt 9 after attempt 1"),
    "ordinal": (RETRY, set_attribute("ordinal", 4), "8 trial 6: retries trial 1 with another ord"),
    "settings": (RETRY, set_param("learning_rate", 3), "8 trial 6: retries trial 1 with other set"),
    "invalid": (COMPLETE, make_batch_norm_invalid, "5 trial 0: the journal's settings are invalid"),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edited_journal_is_named_and_left_alone(record: Record, what: str) -> None:
    trial, change, expected = EDITS[what]
    edit_journal(record, trial, change)
    before = record.journal_path.read_bytes()
    messages = list_messages(record)
    assert any(each.startswith(expected) for each in messages), messages
    record.check_study(repair=True)
    assert record.journal_path.read_bytes() == before


def test_an_empty_journal(record: Record) -> None:
    record.journal_path.write_bytes(b"")
    (message,) = (each for each in list_messages(record) if each.startswith("7"))
    assert message.endswith(
        "does not hold a study; restore it from a backup, or start over with --fresh"
    )


def test_a_store_without_the_study(record: Record, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(record.root / "mlflow.db", tmp_path / "other")
    record.sql("DELETE FROM tags WHERE key LIKE 'harness.%'")
    record.sql("DELETE FROM experiment_tags WHERE key LIKE 'harness.%'")
    record.sql("DELETE FROM experiments WHERE name = 'tiny'")
    (message,) = list_messages(record)
    assert message.startswith("1 tiny: the journal has trials, but the store has no runs of the")


def test_a_failure_without_a_reason(record: Record) -> None:
    edit_journal(record, FAILED, remove_reason)
    record.client.delete_tag(record.run(FAILED).info.run_id, "harness.reason")
    record.expect_findings((1, "trial 8: it failed without a recorded reason"))


def test_a_study_without_a_state(record: Record) -> None:
    record.client.delete_tag(record.study_run.info.run_id, "harness.state")
    record.expect_findings((1, "the study: its run's state is not recorded; --repair sets it"))
    record.expect_repaired()


def test_a_curve_whose_values_are_lost(record: Record) -> None:
    run = record.run(COMPLETE)
    record.file(run, "trial.json").unlink()
    record.lose_points(run, "val/loss", "step = 2")
    record.expect_findings(
        (2, "trial 0: val/loss lacks epoch 2; its trial.json is missing too, so the values are"),
        (7, "trial 0's trial.json: is missing"),
    )


def test_files_that_cannot_be_read(record: Record) -> None:
    champion, parent = record.run(CHAMPION), record.study_run
    record.rewrite(champion, "weights.safetensors", b"no weights")
    record.rewrite(champion, "test-predictions.npz", b"no predictions")
    record.client.set_tag(record.run(COMPLETE).info.run_id, "harness.environment", '{"python": "3')
    record.expect_findings(
        (5, "trial 6: weights.safetensors is not a safetensors file; restore the file from a"),
        (6, r"trial 6's test-predictions.npz: cannot be read \(\w+\); restore the file from a"),
        (7, "trial 0's tag harness.environment: cannot be read; restore the store from a backup"),
    )
    record.rewrite(parent, "test_readings.json", b"[{")
    assert "6 test_readings.json: cannot be read; restore the file from a backup" in list_messages(
        record
    )


def test_a_model_whose_files_are_missing(record: Record) -> None:
    for path in record.root.rglob("MLmodel"):
        path.unlink()
    record.expect_findings(
        (5, "the model: version 1 of 'tiny': its files MLmodel are missing; restore the files")
    )


def test_a_test_metric_that_was_changed(record: Record) -> None:
    run_id = record.run(CHAMPION).info.run_id
    value = record.run(CHAMPION).data.metrics["test/accuracy"]
    record.client.log_metric(run_id, "test/accuracy", 1.0, step=9)
    record.expect_findings((6, r"reading of trial 6: the trial's run has test/accuracy 1, not 0"))
    record.expect_repaired()
    assert record.run(CHAMPION).data.metrics["test/accuracy"] == value


def test_a_reading_of_another_model(record: Record) -> None:
    (reading,) = json.loads(record.file(record.study_run, "test_readings.json").read_bytes())
    other = reading | {"run": record.journal.trial_uid(INTERRUPTED)}
    record.rewrite(record.study_run, "test_readings.json", json.dumps([other]).encode())
    assert any("its selection had chosen another model" in each for each in list_messages(record))


def test_healthy_records_have_none_of_these(record: Record) -> None:
    assert check_studies(record.workspace, "tiny").healthy
