"""Trials on a Ray cluster whose nodes come and go; the contract holds it to the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.data.prepare import PreparedDataset
from harness.executors.base import Ended, Epoch, Event, Lost
from harness.executors.ray_executor import RayExecutor
from tests.executors.test_contract import CPU, SPEC, drive, result_of, trials
from tests.faults.mlflow_server import free_port
from tests.support.ray_cluster import cluster

pytestmark = pytest.mark.slow
ENDLESS = replace(SPEC, epochs=10**6)


@pytest.fixture
def two_nodes() -> Iterator[Any]:
    with cluster() as made:
        yield made


def until(executor: RayExecutor, wanted: type[Event], count: int = 1) -> list[Event]:
    """Answer epochs until so many events of a kind came; returns these."""
    found: list[Event] = []
    deadline = time.monotonic() + 90
    while len(found) < count:
        assert time.monotonic() < deadline
        for event in executor.wait(1):
            found += [event] if isinstance(event, wanted) else []
            if isinstance(event, Epoch):
                executor.answer(event.uid, True)
    return found


def test_nodes_join_and_are_lost(two_nodes: Any, digits: PreparedDataset) -> None:
    late = two_nodes.add_node(num_cpus=1, node_name="late")
    with RayExecutor(digits.training, CPU) as executor:
        endless = trials(ENDLESS, ENDLESS, ENDLESS)
        executor.submit(endless)
        seen: dict[str, str] = {}
        while len(seen) < 3:
            for event in until(executor, Epoch):
                seen[event.uid] = event.worker
        assert {worker.partition("/")[0] for worker in seen.values()} == {
            "node 0",
            "node 1",
            "late",
        }
        two_nodes.remove_node(late, allow_graceful=False)
        (lost,) = until(executor, Lost)
        assert isinstance(lost, Lost)
        assert seen[lost.uid].startswith("late")
        assert "died" in lost.reason
        assert executor.slots == 2
        two_nodes.add_node(num_cpus=1, node_name="later")
        again = [replace(trial, attempt=2) for trial in endless if trial.uid == lost.uid]
        executor.submit(again)
        while not any(
            event.uid == lost.uid and event.worker.startswith("later")
            for event in until(executor, Epoch)
        ):
            pass
        assert executor.slots == 3


def test_a_killed_actor_loses_its_trial_and_is_replaced(
    two_nodes: Any, digits: PreparedDataset
) -> None:
    import ray

    with RayExecutor(digits.training, CPU, most=1) as executor:
        (doomed,) = trials(ENDLESS)
        executor.submit([doomed])
        until(executor, Epoch)
        (actor,) = executor._actors
        pid = ray.get(actor.handle.__ray_call__.remote(lambda _: os.getpid()))
        os.kill(pid, signal.SIGKILL)
        (lost,) = until(executor, Lost)
        assert lost.uid == doomed.uid
        (again,) = trials(SPEC)
        assert result_of(drive(executor, [again]), again).epochs == 3


def test_a_cluster_that_others_have_is_waited_for(
    digits: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr("harness.executors.ray_executor.NO_PLACE_SECONDS", 2.0)
    told: list[str] = []
    with cluster(nodes=1):
        other = ray.remote(num_cpus=1)(Elsewhere).remote()
        ray.get(other.here.remote())
        with RayExecutor(digits.training, CPU, tell=told.append) as executor:
            executor.submit(trials(SPEC))
            for _ in range(6):
                assert executor.wait(1) == []
            assert executor._watchdog.silence("worker 0") == 0, "nobody is to hurry it"
            ray.kill(other)
            until(executor, Ended)
    assert told == ["waiting for a place on the Ray cluster: 0 of its 1 CPU cores are free"]


class Elsewhere:
    """Somebody else's actor."""

    def here(self) -> None: ...


def test_the_cluster_is_not_told_the_drivers_command_line() -> None:
    """It holds passwords, where an address on it does."""
    code = (
        "import psutil\n"
        "from harness.executors.ray_cluster import Ray, joined\n"
        "with joined(Ray('local', 'cpu')):\n"
        "    from ray._private.worker import global_worker\n"
        "    for job in global_worker.gcs_client.get_all_job_info().values():\n"
        "        print('DRIVER', job.entrypoint)\n"
        "    for process in psutil.Process().children(recursive=True):\n"
        "        print(*process.cmdline())\n"
    )
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        done = subprocess.run(
            [sys.executable, "-c", code, "--storage", "postgresql://me:CANARY@db/studies"],
            env=os.environ | {"RAY_TMPDIR": folder},
            capture_output=True,
            text=True,
        )
        written = [
            p for p in Path(folder).rglob("*") if p.is_file() and b"CANARY" in p.read_bytes()
        ]
    assert "DRIVER harness\n" in done.stdout, done.stderr
    assert "raylet" in done.stdout
    assert "CANARY" not in done.stdout
    assert written == []


def at_home(home: Path, code: str) -> list[str]:
    """What code says whose home folder is empty, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"RAY_TMPDIR": folder, "HOME": str(home), "RAY_ADDRESS": ""},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_cluster_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    """Ray itself tries for minutes."""
    gone = f"127.0.0.1:{free_port()}"
    named, odd = at_home(
        tmp_path,
        "from harness.errors import DeviceError\n"
        "from harness.executors.ray_cluster import Ray, joined\n"
        f"for address in ('{gone}', '192.0.2.2'):\n"
        "    try:\n"
        "        with joined(Ray(address)): pass\n"
        "    except DeviceError as error: print(error)\n",
    )
    assert f"the cluster at {gone} does not answer (Connection refused); start it" in named
    assert "--ray 192.0.2.2: write HOST:PORT, such as 192.0.2.2:6379" in odd


def test_a_local_cluster_leaves_no_token_in_the_home_folder(tmp_path: Path) -> None:
    """Every cluster that is started later would ask for it."""
    code = (
        "from harness.executors.ray_cluster import Ray, joined\n"
        "with joined(Ray('local', 'cpu')) as room: print(room.workers)\n"
    )
    (workers,) = at_home(tmp_path, code)
    assert int(workers) >= 1
    assert not list(tmp_path.rglob("*token*"))
