"""A whole study with folds: its summary, its JSON and its report name the folds."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import harness


@pytest.mark.slow
def test_a_study_with_folds_reports_each_fold_and_its_final_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    digits = load_digits()
    study = harness.Study(
        "folded",
        (digits.images[:600], digits.target[:600]),
        folds=3,
        trials=3,
        train={"epochs": 4},
        space={"hidden": [[16], [32]], "learning_rate": harness.Range(1e-3, 1e-1, log=True)},
    )
    result = study.run(workers=0)
    folds, facts = result.folds, result.summary.to_dict()
    assert folds is not None
    assert len(folds.values) == 3
    # 480 examples are in three folds of 160, so the mean of the folds is the score of all.
    score = result.champion.score
    assert folds.mean == pytest.approx(score)
    low, high, deviation = min(folds.values), max(folds.values), statistics.stdev(folds.values)
    line = f"{score:.4f} over 3 folds ({low:.4f} to {high:.4f}, sd {deviation:.4f})"
    shorts = {fact.key: fact.short for fact in result.summary.facts}
    assert shorts["validation"].endswith(f"the best of 3 trials had {line}")
    corrected = facts["validation"]["corrected"]
    assert shorts["validation"].startswith(f"{corrected['value']:.4f} (95 %: ")
    assert corrected["value"] <= score
    assert (corrected["trials"], corrected["examples"]) == (3, 480)
    assert facts["folds"]["values"] == list(folds.values)
    best = result.champion.best
    assert best is not None
    assert facts["final_model"]["epochs"] == best.epoch
    assert facts["final_model"]["examples"] == 480
    assert facts["ties"]["examples"] == 480
    page = result.report.read_text()
    assert 'id="folds"' in page
    text = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert "on the 3 folds' validation sets" in text.replace("&#39;", "'")
    assert "on the validation set" not in text
    assert f"trained again on all 480 examples for {best.epoch} epoch" in text
    assert {"fold-curves", "fold-scores"} <= set(result.plots)
    assert "over 3 folds: " in result._repr_html_()
    curves = result.plot("fold-curves").data
    assert len(curves) == 4
    np.testing.assert_allclose([curve.y[best.epoch - 1] for curve in curves[:3]], folds.values)
