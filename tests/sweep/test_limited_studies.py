"""Studies with [limits], from the first draw to the report, MLflow, the doctor and a replay."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.reports.live_page import write_study_page
from harness.sweep.progress import Silent
from harness.sweep.replay import replay
from harness.workspace import Workspace
from tests.support.digits_study import SHORT, write_study

pytestmark = pytest.mark.slow


def write(folder: Path, *, study: str, space: str, limits: str) -> Path:
    tables = f"[study]\n{study}{SHORT}learning_rate = 3e-3\n[space]\n{space}\n[limits]\n{limits}\n"
    return write_study(folder, "limited", tables)


def test_a_search_trains_no_setting_outside_its_limits(tmp_path: Path) -> None:
    home = tmp_path / "mlruns"
    path = write(
        tmp_path,
        study="trials = 6",
        space="width = { low = 4, high = 256, log = true }\ndepth = { low = 1, high = 2 }",
        limits="parameters = 2_000\nmilliseconds = 1000.0",
    )
    options = {"workers": 1, "device": "cpu", "home": home, "overrides": ["confirm.seeds=1"]}
    result = run_study(path, **options)
    study, champion = result.summary.study, result.champion
    assert all(run.parameters <= 2_000 for run in study.trials)
    assert all((run.get_cost("milliseconds") or 0) > 0 for run in study.trials)
    fact = result.summary.to_dict()["limits"]
    assert fact["champion"]["parameters"] == champion.parameters
    assert fact["outside"] == sum(run.get_cost("outside_limits") or 0 for run in study.trials) > 0
    again = run_study(path, **options)
    assert again.champion.uid == champion.uid
    workspace = Workspace(home)
    client = MlflowClient(workspace.local_uri)
    metrics = client.get_run(champion.run_id).data.metrics
    assert metrics["cost/milliseconds"] == champion.get_cost("milliseconds")
    assert check_studies(workspace, "limited").healthy
    assert replay(workspace, f"limited/{champion.number}", watcher=Silent()).is_reproduced


def test_a_grid_has_a_champion_within_its_limits(tmp_path: Path) -> None:
    home = tmp_path / "mlruns"
    path = write(
        tmp_path,
        study='sampler = "grid"\nseeds = 2',
        space="hidden = [[200], [], [4]]",
        limits="parameters = 1_000",
    )
    result = run_study(path, workers=0, device="cpu", home=home)
    study = result.summary.study
    best = max(study.trials, key=lambda run: run.score)
    assert best.spec.hidden == (200,)
    assert result.champion.spec.hidden == ()
    assert result.summary.to_dict()["limits"]["outside"] == 2
    assert "[200] (outside the limits)" in result.summary.text()
    assert {run.spec.hidden for run in study.rank_trials()} == {(), (4,)}
    assert check_studies(Workspace(home), "limited").healthy
    page = write_study_page(Workspace(home), "limited", None).read_text()
    assert "complete, outside the limits" in page
