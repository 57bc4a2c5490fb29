"""A whole study on a Ray cluster of two nodes, one of which is lost half-way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.doctor import examine
from harness.driver import Progress
from harness.home import Home
from harness.progress.quiet import Quiet
from harness.reports import timeline
from harness.run import run_study
from tests.clusters import cluster
from tests.faults.sameness import read

pytestmark = pytest.mark.slow
STUDY = """
[study]
trials = 16
sampler = "random"
pruner = "none"
[data]
name = "digits"
[train]
epochs = 30
[space]
depth = [1]
width = { low = 8, high = 64 }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
[confirm]
top = 2
"""


class Killing(Quiet):
    """Takes a node away once four trials are done."""

    def __init__(self, made: Any) -> None:
        self._made, self._gone = made, False

    def refresh(self, progress: Progress) -> None:
        if progress.ended >= 4 and not self._gone:
            self._gone = True
            import ray

            own = ray.get_runtime_context().get_node_id()
            (other,) = (n for n in self._made.list_all_nodes() if n.node_id != own)
            self._made.remove_node(other, allow_graceful=False)


def test_a_study_survives_the_loss_of_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(STUDY)
    with cluster() as made:
        run_study("./tiny.toml", ray=made.address, watcher=Killing(made))
    study = read(tmp_path)
    assert study.state == "COMPLETE"
    assert study.facts["device"] == "Ray, 2 nodes, CPU, 2 cores"
    lost = [run for run in study.trials if run.state == "INTERRUPTED"]
    assert lost, "the node had nothing to do"
    assert all("died" in run.reason for run in lost)
    assert len(study.best_first()) == 16
    lanes = [worker for worker, *_ in timeline.data(study).lanes]
    assert {worker.partition("/")[0] for worker in lanes} == {"node 0", "node 1"}
    assert len(study.confirming) == 6
    examined = examine(Home(Path("mlruns")), "tiny")
    assert examined.healthy, examined.text()
