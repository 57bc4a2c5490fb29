"""A real `mlflow server`, started as docker-compose.yml starts it, and `harness ui`."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from harness.api.run import run_study
from tests.faults.mlflow_server import MlflowServer, find_free_port, wait_for_url

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with the compose service's command, in this test's folder."""
    with MlflowServer(tmp_path_factory.mktemp("server")) as server:
        yield server.url


def test_a_study_on_a_server_is_readable_with_the_address_alone(
    server: str, tmp_path: Path
) -> None:
    result = run_study(
        "quickstart",
        trials=6,
        device="cpu",
        overrides=["train.epochs=3", "confirm.top=2", "confirm.seeds=1"],
        tracking_uri=server,
        home=tmp_path / "mlruns",
    )
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()
    client = MlflowClient(server, registry_uri=server)
    experiment = client.get_experiment_by_name("quickstart")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    kinds = [run.data.tags["harness.kind"] for run in runs]
    assert (kinds.count("study"), kinds.count("trial"), kinds.count("confirm")) == (1, 6, 2)
    assert all(run.info.status == "FINISHED" for run in runs)
    (parent,) = (run for run in runs if run.data.tags["harness.kind"] == "study")
    page = client.download_artifacts(parent.info.run_id, "report.html")
    assert "Leaderboard" in Path(page).read_text()
    assert Path.cwd().joinpath("mlruns/0").exists() is False
    kept = [
        run
        for run in runs
        if run.data.tags["harness.kind"] == "trial"
        and any(f.path == "weights.safetensors" for f in client.list_artifacts(run.info.run_id))
    ]
    assert len(kept) == 5, "the sixth best's weights were dropped through the server"

    code = (
        "import sys; sys.modules['harness'] = None\n"
        f"import mlflow, torch; mlflow.set_tracking_uri({server!r})\n"
        "model = mlflow.pytorch.load_model('models:/quickstart@champion')\n"
        "print(tuple(model(torch.zeros(5, 8, 8, dtype=torch.uint8)).shape))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(5, 10)"
    assert result.test is not None


def test_the_ui_is_local_and_leaves_no_process(tmp_path: Path) -> None:
    run_study(
        "quickstart",
        trials=2,
        device="cpu",
        overrides=["train.epochs=2"],
        home=tmp_path / "mlruns",
    )
    with subprocess.Popen(
        [sys.executable, "-m", "harness", "ui"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        match = re.fullmatch(
            r"http://127\.0\.0\.1:(\d+)/#/experiments/\d+/runs\?\S*viewState.*", address
        )
        assert match
        port = match[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            assert answer.status == 200
        listening = subprocess.run(["ss", "-ltn"], capture_output=True, text=True).stdout
        if listening:
            (line,) = (line for line in listening.splitlines() if f":{port} " in line)
            assert f"127.0.0.1:{port}" in line
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(port)))


def test_the_champion_is_served_as_the_readme_says(tmp_path: Path) -> None:
    run_study(
        "quickstart",
        trials=1,
        device="cpu",
        overrides=["train.epochs=2", "confirm.seeds=0"],
        home=tmp_path / "mlruns",
    )
    port, store = find_free_port(), "sqlite:///mlruns/mlflow.db"
    environment = os.environ | {"MLFLOW_TRACKING_URI": store, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "models", "serve"),
            *("-m", "models:/quickstart@champion", "--env-manager", "local"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_url(f"http://127.0.0.1:{port}/ping", process)
        images = np.random.default_rng(0).integers(0, 17, (3, 8, 8), np.uint8)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"inputs": images.tolist()}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            logits = np.array(json.load(answer)["predictions"])
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
    code = (
        "import sys; sys.modules['harness'] = None\n"
        "import json, mlflow, torch\n"
        "model = mlflow.pytorch.load_model('models:/quickstart@champion')\n"
        "info = mlflow.models.get_model_info('models:/quickstart@champion')\n"
        "images = torch.tensor(json.loads(sys.argv[1]), dtype=torch.uint8)\n"
        "print(json.dumps([model(images).tolist(), info.metadata['classes']]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(images.tolist())],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected, classes = json.loads(done.stdout.splitlines()[-1])
    assert logits.shape == (3, 10)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    assert classes == list("0123456789")
