"""A Ray cluster whose nodes join and are lost; test_contract.py tests the rest."""

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
from harness.executors.base import EpochEnded, Event, TrialEnded, TrialLost
from harness.executors.ray_executor import RayExecutor
from tests.executors.test_contract import CPU, SPEC, drive, result_of, trials
from tests.faults.mlflow_server import find_free_port
from tests.support.ray_cluster import start_cluster

pytestmark = pytest.mark.slow
ENDLESS = replace(SPEC, epochs=10**6)


@pytest.fixture
def two_nodes() -> Iterator[Any]:
    with start_cluster() as nodes:
        yield nodes


def wait_for(executor: RayExecutor, kind: type[Event], count: int = 1) -> list[Event]:
    """Answer epochs until `count` events of a kind arrived; return them."""
    events: list[Event] = []
    deadline = time.monotonic() + 90
    while len(events) < count:
        assert time.monotonic() < deadline
        for event in executor.wait(1):
            events += [event] if isinstance(event, kind) else []
            if isinstance(event, EpochEnded):
                executor.answer(event.uid, True)
    return events


def test_nodes_join_and_are_lost(two_nodes: Any, digits: PreparedDataset) -> None:
    late = two_nodes.add_node(num_cpus=1, node_name="late")
    with RayExecutor(digits.training, CPU) as executor:
        endless = trials(ENDLESS, ENDLESS, ENDLESS)
        executor.submit(endless)
        seen: dict[str, str] = {}
        while len(seen) < 3:
            for event in wait_for(executor, EpochEnded):
                seen[event.uid] = event.worker
        assert {worker.partition("/")[0] for worker in seen.values()} == {
            "node 0",
            "node 1",
            "late",
        }
        two_nodes.remove_node(late, allow_graceful=False)
        (lost,) = wait_for(executor, TrialLost)
        assert isinstance(lost, TrialLost)
        assert seen[lost.uid].startswith("late")
        assert "died" in lost.reason
        assert executor.slots == 2
        two_nodes.add_node(num_cpus=1, node_name="later")
        retries = [replace(trial, attempt=2) for trial in endless if trial.uid == lost.uid]
        executor.submit(retries)
        while not any(
            event.uid == lost.uid and event.worker.startswith("later")
            for event in wait_for(executor, EpochEnded)
        ):
            pass
        assert executor.slots == 3


def test_a_killed_actor_loses_its_trial_and_is_replaced(
    two_nodes: Any, digits: PreparedDataset
) -> None:
    import ray

    with RayExecutor(digits.training, CPU, max_workers=1) as executor:
        (doomed,) = trials(ENDLESS)
        executor.submit([doomed])
        wait_for(executor, EpochEnded)
        (actor,) = executor._actors
        pid = ray.get(actor.handle.__ray_call__.remote(lambda _: os.getpid()))
        os.kill(pid, signal.SIGKILL)
        (lost,) = wait_for(executor, TrialLost)
        assert lost.uid == doomed.uid
        (other,) = trials(SPEC)
        assert result_of(drive(executor, [other]), other).epochs == 3


def test_a_cluster_without_free_cores_is_waited_for(
    digits: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr("harness.executors.ray_executor.NO_PLACE_SECONDS", 2.0)
    messages: list[str] = []
    with start_cluster(nodes=1):
        other = ray.remote(num_cpus=1)(OtherActor).remote()
        ray.get(other.ping.remote())
        with RayExecutor(digits.training, CPU, notify=messages.append) as executor:
            executor.submit(trials(SPEC))
            for _ in range(6):
                assert executor.wait(1) == []
            assert executor._detector.get_silence("worker 0") == 0, "it has no place yet"
            ray.kill(other)
            wait_for(executor, TrialEnded)
    assert messages == ["waiting for a place on the Ray cluster: 0 of its 1 CPU cores are free"]


class OtherActor:
    """An actor of another program."""

    def ping(self) -> None: ...


def test_the_cluster_does_not_see_the_drivers_command_line() -> None:
    """It may contain passwords, in addresses."""
    code = (
        "import psutil\n"
        "from harness.executors.ray_cluster import RayOptions, join_cluster\n"
        "with join_cluster(RayOptions('local', 'cpu')):\n"
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
        files = [p for p in Path(folder).rglob("*") if p.is_file() and b"CANARY" in p.read_bytes()]
    assert "DRIVER harness\n" in done.stdout, done.stderr
    assert "raylet" in done.stdout
    assert "CANARY" not in done.stdout
    assert files == []


def run_with_home(home: Path, code: str) -> list[str]:
    """Run code in a new process with this home folder; return the lines of its output."""
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"RAY_TMPDIR": folder, "HOME": str(home), "RAY_ADDRESS": ""},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_missing_cluster_is_an_error_at_once(tmp_path: Path) -> None:
    """Ray itself would try for minutes."""
    missing = f"127.0.0.1:{find_free_port()}"
    absent, malformed = run_with_home(
        tmp_path,
        "from harness.errors import DeviceError\n"
        "from harness.executors.ray_cluster import RayOptions, join_cluster\n"
        f"for address in ('{missing}', '192.0.2.2'):\n"
        "    try:\n"
        "        with join_cluster(RayOptions(address)): pass\n"
        "    except DeviceError as error: print(error)\n",
    )
    assert f"the cluster at {missing} does not answer (Connection refused); start it" in absent
    assert "--ray 192.0.2.2: write HOST:PORT, such as 192.0.2.2:6379" in malformed


def test_a_local_cluster_leaves_no_token_in_the_home_folder(tmp_path: Path) -> None:
    """Every later cluster would require it."""
    code = (
        "from harness.executors.ray_cluster import RayOptions, join_cluster\n"
        "with join_cluster(RayOptions('local', 'cpu')) as room: print(room.workers)\n"
    )
    (workers,) = run_with_home(tmp_path, code)
    assert int(workers) >= 1
    assert not list(tmp_path.rglob("*token*"))
