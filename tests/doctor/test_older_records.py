"""A record written before some fields existed stays healthy, is continued and is replayed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.api.run import run_study
from harness.config.schema import default_values
from harness.sweep.progress import Silent
from harness.sweep.replay import replay
from tests.doctor.example_study import CHAMPION, COMPLETE, STUDY, Record

DATA_KEYS = ("test", "split_seed", "normalize")
"""Keys of [data] at their default in the example study."""


def without_defaults(spec: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if value != defaults[key]}


@pytest.fixture
def older(record: Record) -> Record:
    """The example study as if every field at its default had not existed when it ran."""
    defaults = default_values()["train"]
    for trial in record.journal.trials:
        for run in record.runs(record.journal.trial_uid(trial.number)):
            run_id, path = run.info.run_id, record.file(run, "trial.json")
            spec = json.loads(run.data.tags["harness.spec"])
            shortened = without_defaults(spec, defaults)
            assert len(shortened) < len(spec)
            for key in spec.keys() - shortened.keys():
                record.sql("DELETE FROM params WHERE run_uuid = ? AND key = ?", run_id, key)
            record.client.set_tag(run_id, "harness.spec", json.dumps(shortened))
            if path.exists():
                document = json.loads(path.read_bytes())
                document["spec"] = without_defaults(document["spec"], defaults)
                record.rewrite(run, "trial.json", json.dumps(document).encode())
    parent = record.study_run
    definition = json.loads(parent.data.tags["harness.definition"])
    for key in DATA_KEYS:
        record.replace_in_journal(f',"{key}":{json.dumps(definition["data"].pop(key))}', "")
    record.client.set_tag(parent.info.run_id, "harness.definition", json.dumps(definition))
    return record


def test_it_is_healthy(older: Record) -> None:
    assert older.check_study().healthy


def test_a_field_that_is_lacking_and_not_at_its_default_is_a_finding(older: Record) -> None:
    run_id = older.run(COMPLETE).info.run_id
    older.sql("DELETE FROM params WHERE run_uuid = ? AND key = 'optimizer'", run_id)
    older.expect_findings((5, "trial 0: its run's param optimizer is missing, the journal's sgd"))


def test_it_is_continued(older: Record) -> None:
    path = older.root.parent / "tiny.toml"
    path.write_text(STUDY)
    result = run_study(path, home=older.root, device="cpu", workers=0)
    assert result.champion.number == CHAMPION


def test_it_is_replayed(older: Record) -> None:
    result = replay(older.workspace, f"tiny/{CHAMPION}", watcher=Silent(), inline=True)
    assert result.agreement == "bitwise"
