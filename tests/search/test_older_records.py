"""A study recorded before a key existed is continued: the record's missing key is its default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.config.loader import load
from harness.config.schema import default_values
from harness.config.study_tables import DataTable, StudyTable
from harness.errors import StudyError
from harness.search.open_study import open_search
from harness.trial import SPEC_FIELDS
from tests.search.tiny_study import run_trials

STUDY = """
[data]
name = "digits"
[train]
weight_decay = 0.01
nesterov = false
[space]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
"""
NON_DEFAULT: dict[str, dict[str, Any]] = {
    "study": {"seed": 3, "objective": "val/loss", "sampler": "random", "pruner": "hyperband"},
    "data": {"normalize": False, "test": 0.3, "own_test": False, "drop_duplicates": True},
    "train": {"weight_decay": 0.02, "nesterov": True},
}


KEYS = [
    *(("study", key) for key in NON_DEFAULT["study"]),
    *(("data", key) for key in DataTable.model_fields if key != "name"),
    *(("train", key) for key in NON_DEFAULT["train"]),
]
"""Keys of the definition that are at their default in STUDY."""


def open_study(folder: Path, *overrides: str) -> None:
    (folder / "tiny.toml").write_text(STUDY)
    with open_search(load(folder / "tiny.toml", overrides), folder / "optuna") as search:
        assert not search.replaced
        if search.counts.done == 0:
            run_trials(search, 1)


def drop_key(folder: Path, table: str, key: str) -> None:
    """Drop a key from the definition in the journal."""
    path = folder / "optuna" / "tiny.journal"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if definition := line.get("user_attr", {}).get("definition"):
            definition[table].pop(key, None)
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_a_study_recorded_before_a_key_existed_is_continued(
    tmp_path: Path, table: str, key: str
) -> None:
    open_study(tmp_path)
    drop_key(tmp_path, table, key)
    open_study(tmp_path)
    if (value := NON_DEFAULT[table].get(key)) is not None:
        with pytest.raises(StudyError, match=rf"\[{table}\] {key}: nothing -> "):
            open_study(tmp_path, f"{table}.{key}={json.dumps(value)}")


def test_a_default_written_into_the_file_is_no_change(tmp_path: Path) -> None:
    open_study(tmp_path)
    open_study(tmp_path, "train.dropout=0.0", "train.hidden=[300, 100]", "data.classes=[]")
    with pytest.raises(StudyError, match=r"\[train\] dropout: nothing -> 0.5"):
        open_study(tmp_path, "train.dropout=0.5")


def test_every_key_has_a_default_for_records_without_it() -> None:
    defaults = default_values()
    assert StudyTable.model_fields.keys() - defaults["study"].keys() == {"name"}
    assert DataTable.model_fields.keys() - defaults["data"].keys() == {"name"}
    absent = {"model", "arguments", "code"}
    assert set(SPEC_FIELDS) - defaults["train"].keys() == absent, "of a custom model alone"
