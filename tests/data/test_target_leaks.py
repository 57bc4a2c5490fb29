"""Columns that know the target are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.data.prepare import prepare

ROWS = 400


@pytest.mark.parametrize("task", ["classes", "regression"])
def test_a_column_that_knows_the_target_is_named(tmp_path: Path, task: Any) -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=ROWS)
    target = signal + 0.3 * rng.normal(size=ROWS)
    label = np.where(target > 0, "ill", "well")
    frame = pd.DataFrame(
        {
            "signal": signal,
            "noise": rng.normal(size=ROWS),
            "doctor": rng.choice(["A", "B"], ROWS),
            "total": 3 * target + 0.001 * rng.normal(size=ROWS),
            "treatment": np.where(label == "ill", "drug", None),
            "y": label if task == "classes" else target,
        }
    )
    path = tmp_path / "a.csv"
    frame.to_csv(path, index=False)
    prepared = prepare(
        str(path), validation=0.2, test=0.2, split_seed=0, normalize=True, target="y", task=task,
        cache=tmp_path / "cache",
    )  # fmt: skip
    named = {each.split("'")[1] for each in prepared.notes if "alone predicts the target" in each}
    assert named == ({"total", "treatment"} if task == "classes" else {"total"})
