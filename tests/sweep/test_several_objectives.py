"""Studies with several objectives, from the first trial to the front on every record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

import harness
from harness.analysis.front import FRONT_FILE, FRONT_METRIC
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.reports.live_page import write_study_page
from harness.sweep.progress import Silent
from harness.sweep.replay import replay
from harness.workspace import Workspace
from tests.support.digits_study import SHORT, write_study

STUDY = f"""
[study]
trials = 8
objectives = ["val/accuracy", "parameters", "milliseconds"]
{SHORT}
[space]
width = {{ low = 4, high = 256, log = true }}
depth = {{ low = 1, high = 2 }}
learning_rate = {{ low = 1e-3, high = 3e-2, log = true }}
[confirm]
seeds = 0
"""
pytestmark = pytest.mark.slow


def test_the_front_is_the_same_in_every_record(tmp_path: Path) -> None:
    path, home = write_study(tmp_path, "front", STUDY), tmp_path / "mlruns"
    run_study(path, trials=5, workers=1, device="cpu", home=home)
    result = run_study(path, workers=1, device="cpu", home=home)  # it continues
    numbers = [run.number for run in result.front]
    optuna_front = {trial.number for trial in result.optuna_study.best_trials}
    assert set(numbers) == optuna_front
    assert result.champion.number == numbers[0]
    summary, study = result.summary, result.summary.study
    fact = summary.to_dict()["front"]
    assert [each["trial"] for each in fact["trials"]] == numbers
    for each in fact["trials"]:
        run = study.trials[each["trial"]]
        assert each["val/accuracy"] == run.score
        assert each["parameters"] == run.parameters
        assert each["milliseconds"] == run.metrics["cost/milliseconds"] > 0
    assert f"trial {numbers[0]}: {result.champion.score:.4f}, " in summary.text()
    workspace = Workspace(home)
    client = MlflowClient(workspace.local_uri)
    tracker = workspace.open_tracker(None, reading=True)
    content = tracker.read_file(study.run_id, FRONT_FILE)
    assert content is not None
    assert json.loads(content) == fact
    for run in study.trials:
        metrics = client.get_run(run.run_id).data.metrics
        place = numbers.index(run.number) + 1 if run.number in numbers else 0
        assert metrics.get(FRONT_METRIC, 0) == place
    page = write_study_page(workspace, "front", None).read_text()
    assert "Trade-offs: accuracy, parameters and milliseconds" in page
    assert {"front-parameters", "front-milliseconds"} <= set(result.plots)
    assert check_studies(workspace, "front").healthy
    last = f"front/{numbers[-1]}"
    assert replay(workspace, last, watcher=Silent()).is_reproduced
    predicted = harness.predict(last, np.zeros((2, 8, 8), np.uint8), home=home)
    assert len(predicted) == 2
