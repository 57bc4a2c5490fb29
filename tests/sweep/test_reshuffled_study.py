"""A whole study whose trials have folds of their own: record, calibration, replay, report."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import harness
from harness.analysis.misclassified import MISTAKES_FILE, Mistakes
from harness.analysis.paired_tests import read_predictions
from harness.checks.report import check_studies
from harness.sweep.fold_outputs import compute_fold_outputs
from harness.sweep.progress import Silent
from harness.sweep.recorded_inputs import prepare_recorded_data
from harness.sweep.replay import replay
from harness.tracking.raw_types import WEIGHTS_FILE
from harness.workspace import Workspace


@pytest.mark.slow
def test_a_study_whose_trials_have_folds_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    digits = load_digits()
    np.savez(tmp_path / "digits.npz", x=digits.images[:600].astype(np.uint8), y=digits.target[:600])
    study = harness.Study(
        "own",
        tmp_path / "digits.npz",
        folds=3,
        reshuffle=True,
        trials=3,
        train={"epochs": 4},
        space={"learning_rate": harness.Range(1e-2, 1e-1, log=True)},
        confirm={"top": 2, "seeds": 1},
    )
    result = study.run(workers=0)
    workspace, record = Workspace(tmp_path / "mlruns"), result.summary.study
    tracker = workspace.open_tracker(None, reading=True)
    prepared = prepare_recorded_data(record, record.facts, None)
    wrong = []
    for run in (*record.trials, *record.confirmation_runs):
        predictions = read_predictions(tracker, run)
        assert predictions is not None
        assert run.best is not None
        true, predicted = predictions.to_array()
        assert (true == predicted).mean() == run.best.val_accuracy
        weights = tracker.read_file(run.run_id, WEIGHTS_FILE)
        assert weights is not None
        outputs = compute_fold_outputs(prepared, run, weights)
        assert outputs.argmax(1).tolist() == predicted.tolist()
        replayed = replay(workspace, run.run_id, watcher=Silent(), inline=True)
        has_final_model = run.run_id == result.summary.model_run.run_id
        assert replayed.agreement == "bitwise"
        assert replayed.final_difference == (0.0 if has_final_model else None)
        changed = replace(replayed, final_difference=2e-5)
        assert changed.agreement == "differs", "equal bits are promised"
        assert "all examples: its weights differ by up to 2e-05" in changed.text()
        wrong.append(true != predicted)
    assert len({each.tobytes() for each in wrong}) == len(wrong)
    runs = [run.uid for run in (*record.trials, *record.confirmation_runs)]
    mistakes = Mistakes.from_file(tracker.read_file(record.run_id, MISTAKES_FILE) or b"")
    assert mistakes.total == wrong[runs.index(mistakes.run)].sum()
    assert check_studies(workspace, "own").studies[0].healthy
    shorts = {fact.key: fact.short for fact in result.summary.facts}
    assert "over 1 fresh seed, on 3 new folds" in shorts["validation"]
    seed = result.summary.model_run.spec.seed
    assert shorts["final_model"].endswith(f", the best epoch of its run with seed {seed}")
    page = " ".join(re.sub("<[^>]+>", " ", result.report.read_text()).split())
    assert "fold 1 has other examples in each trial" in page
    assert "train, one fold" in page
    assert "480 validation in 3 folds, drawn again for each trial" in page
