"""The table of a recorded study is prepared again as it was, whatever `max_categories` was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.config.loader import load
from harness.errors import DataError
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.recorded_inputs import prepare_recorded_data
from harness.tracking.types import MAX_CATEGORIES_FACT, StudyRun


@pytest.mark.parametrize("limit", [0, 30, 70])
def test_recorded_categories_are_prepared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    frame = pd.DataFrame({"town": [f"town {n % 60}" for n in range(400)]})
    frame["kind"] = np.where(np.arange(400) % 3, "hut", "villa")
    table = tmp_path / "houses.csv"
    frame.to_csv(table, index=False)
    keys = [f"data.name={table}", "data.target=kind", f"data.max_categories={limit}"]
    plan = make_plan("quickstart", RunOptions(overrides=keys, device="cpu"))
    prepared = plan.prepare()
    record = plan.build_record(prepared, "u1")
    assert record.facts.get(MAX_CATEGORIES_FACT, "0") == str(limit)
    study = StudyRun(
        name="houses", uid="u1", run_id="r", experiment_id="e", facts=dict(record.facts),
        classes=record.classes, definition=load("quickstart", keys).definition(), readings=(),
        started=0.0, ended=None,
    )  # fmt: skip
    again = prepare_recorded_data(study, study.facts, None)
    assert again.training.columns == prepared.training.columns
    older = replace(study, facts={"split_hash": study.facts["split_hash"]})
    if limit == 30:
        with pytest.raises(DataError, match="is not the data that 'houses' was trained on"):
            prepare_recorded_data(older, older.facts, None)
    else:
        assert prepare_recorded_data(older, older.facts, None).split_hash == prepared.split_hash
