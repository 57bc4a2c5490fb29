"""A study on a Ray cluster, PostgreSQL and an MLflow server; one of two nodes dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.reports.plots import timeline
from harness.sweep.progress import Progress, Silent
from harness.workspace import Workspace
from tests.faults.mlflow_server import MlflowServer
from tests.support.postgres import Postgres
from tests.support.ray_cluster import start_cluster

pytestmark = pytest.mark.slow
TRIALS = 24
SMALL = ["train.epochs=3", "space.width={low=16, high=64}", "confirm.top=2", "confirm.seeds=2"]


class NodeKiller(Silent):
    """Removes the node that the driver is not on, once half of the trials have ended."""

    def __init__(self, nodes: Any) -> None:
        self._cluster, self._is_removed = nodes, False

    def refresh(self, progress: Progress) -> None:
        if progress.ended_trials >= TRIALS // 2 and not self._is_removed:
            import ray

            self._is_removed = True
            driver_node = ray.get_runtime_context().get_node_id()
            (other,) = (n for n in self._cluster.list_all_nodes() if n.node_id != driver_node)
            self._cluster.remove_node(other, allow_graceful=False)


def test_a_study_on_a_cluster_survives_the_loss_of_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_data: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        Postgres() as postgres,
        MlflowServer(tmp_path, postgres.create_database()) as server,
        start_cluster() as nodes,
    ):
        storage = postgres.create_database()
        result = run_study(
            "fashion-mnist",
            trials=TRIALS,
            ray=nodes.address,
            storage=storage,
            tracking_uri=server.url,
            data_dir=real_data,
            overrides=SMALL,
            progress=NodeKiller(nodes),
        )
        assert result.test is not None
        workspace = Workspace(Path("mlruns"), storage)
        study = workspace.open_tracker(server.url, reading=True).read_study("fashion-mnist")
        report = check_studies(workspace, "fashion-mnist", server.url)
    assert study is not None
    assert study.state == "COMPLETE"
    assert report.healthy, report.text()
    assert study.facts["device"] == "Ray, 2 nodes, CPU, 2 cores"
    interrupted = [run for run in study.trials if run.state == "INTERRUPTED"]
    assert interrupted, "the node had nothing to do"
    assert all("died" in run.reason for run in interrupted)
    assert sum(run.state in ("COMPLETE", "PRUNED") for run in study.trials) == TRIALS
    lanes = [worker for worker, *_ in timeline.compute_timeline(study).lanes]
    assert {worker.partition("/")[0] for worker in lanes} == {"node 0", "node 1"}
    confirmed = [run for run in study.confirmation_runs if run.state == "COMPLETE"]
    assert len(confirmed) in (4, 6), "2 settings on 2 new splits, and a smaller one if it is near"
    assert {run.split for run in confirmed} == {1, 2}
    assert not list(Path("mlruns").rglob("*.journal"))
