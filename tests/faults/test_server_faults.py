"""Complete studies on a real server that is absent, restarts, is slow, refuses, or whose responses
get lost: no result is lost or doubled, and training does not wait."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.errors import Unsent
from harness.results import Outcome
from harness.sweep.progress import Progress, Silent
from harness.tracking.types import State
from harness.trial import Trial
from harness.workspace import Workspace
from tests.faults.faulty_proxy import Proxy
from tests.faults.mlflow_server import MlflowServer
from tests.faults.recorded_study import run_command

pytestmark = pytest.mark.slow
TRIALS, EPOCHS = 5, 3
STUDY = f"""
[study]
trials = {TRIALS}
pruner = "none"
[confirm]
top = 1
seeds = 1
[data]
name = "digits"
validation = 0.2
test = 0.2
[train]
epochs = {EPOCHS}
hidden = [16]
[space]
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
"""
CANARY = "c4n4ry!pass"
QUOTED = "c4n4ry%21pass"


@pytest.fixture
def proxy(mlflow_process: MlflowServer) -> Iterator[Proxy]:
    with Proxy(mlflow_process.port) as proxy:
        yield proxy


@dataclass
class RecordingDisplay(Silent):
    """Records messages, and calls an action when a number of trials have ended."""

    actions: dict[int, Callable[[], object]] = field(default_factory=dict)
    ends: list[float] = field(default_factory=list)
    """The monotonic times at which trials ended."""
    messages: list[str] = field(default_factory=list)

    def message(self, text: str) -> None:
        self.messages.append(text)

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        if trial.confirms is not None:
            return
        self.ends.append(time.monotonic())
        if len(self.ends) in self.actions:
            self.actions[len(self.ends)]()


@dataclass
class Study:
    """A study in its own folder, recorded on a server under its name."""

    folder: Path
    name: str
    uri: str

    def __post_init__(self) -> None:
        self.file.write_text(STUDY)

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.toml"

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.folder / "mlruns")

    def run(self, display: RecordingDisplay | None = None) -> StudyResult:
        return run_study(
            self.file,
            home=self.workspace.root,
            tracking_uri=self.uri,
            device="cpu",
            workers=0,
            progress=display or False,
        )

    def check(self, server: str) -> None:
        """Check the invariants with the doctor and without it."""
        self.check_runs(MlflowClient(server, registry_uri=server))
        report = check_studies(self.workspace, self.name, self.uri)
        assert report.healthy, report.text()
        assert not list((self.folder / "mlruns").rglob("*.spool"))

    def check_runs(self, client: MlflowClient) -> None:
        experiment = client.get_experiment_by_name(self.name)
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        uids = Counter(run.data.tags["harness.uid"] for run in runs)
        assert set(uids.values()) == {1}, uids
        kinds = Counter(run.data.tags["harness.kind"] for run in runs)
        assert kinds == {"study": 1, "trial": TRIALS, "confirm": 1, "confirmation": 1}
        assert {run.info.status for run in runs} == {"FINISHED"}
        trials = [run for run in runs if run.data.tags["harness.kind"] in ("trial", "confirm")]
        assert [key for run in trials for key in run.data.metrics if key.startswith("test/")]
        for run in trials:
            check_curves(client, run)
        (parent,) = (run for run in runs if run.data.tags["harness.kind"] == "study")
        readings = client.download_artifacts(parent.info.run_id, "test_readings.json")
        assert len(json.loads(Path(readings).read_text())) == 1, "the test set is read once"
        assert len(client.search_model_versions(f"name = '{self.name}'")) == 1
        assert len(client.search_logged_models([experiment.experiment_id])) == 1


def check_curves(client: MlflowClient, run: Run) -> None:
    curves = [key for key in run.data.metrics if re.match("train/|val/|cost/epoch", key)]
    assert len(curves) == 7
    for key in curves:
        points = client.get_metric_history(run.info.run_id, key)
        assert sorted(point.step for point in points) == [1, 2, 3], f"{run.info.run_name}: {key}"


# ---- absent at the start: in separate processes while the other tests run

RUN = ("run-study", "absent.toml", "--cpu", "--workers=0")
Finished = tuple[int, str]
"""An exit status and all output."""


@dataclass
class Absent:
    """A study and then a sync without a server; both wait 30 s for it."""

    study: Study
    proxy: Proxy
    done: Future[list[Finished]]


def run_commands(
    folder: Path, uri: str, stop: threading.Event, *commands: Sequence[str]
) -> list[Finished]:
    done = []
    for arguments in commands:
        with subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments],
            cwd=folder,
            env=os.environ | {"MLFLOW_TRACKING_URI": uri},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            while process.poll() is None:
                if stop.wait(0.1):
                    process.kill()
            assert process.stdout is not None
            done.append((process.returncode, process.stdout.read()))
    return done


@pytest.fixture(scope="module", autouse=True)
def absent(
    mlflow_process: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Absent]:
    stop = threading.Event()
    with Proxy(mlflow_process.port) as proxy, ThreadPoolExecutor(1) as pool:
        proxy.stop_listening()
        uri = proxy.url.replace("//", f"//bob:{QUOTED}@")
        study = Study(tmp_path_factory.mktemp("absent"), "absent", uri)
        done = pool.submit(run_commands, study.folder, uri, stop, RUN, ("sync", "absent"))
        try:
            yield Absent(study, proxy, done)
        finally:
            stop.set()


def test_lost_responses_lose_no_work_and_repeat_none(
    proxy: Proxy, tmp_path: Path, mlflow_server: str
) -> None:
    rules = [
        proxy.drop_response("experiments/create", times=1),
        proxy.drop_response("runs/create", times=2),  # the study's, a trial's
        proxy.drop_response("runs/log-inputs", times=1),
        *(proxy.drop_response("runs/log-batch", skip=skip, times=1) for skip in (5, 7, 9, 11, 13)),
        proxy.drop_response("mlflow-artifacts/.*trial.json", method="PUT", times=1),
        proxy.drop_response("runs/update", skip=3, times=1),
        proxy.drop_response("model-versions/create", times=1),
    ]
    study = Study(tmp_path, "lost", proxy.url)
    study.run()
    assert [rule.hits for rule in rules] == [rule.times for rule in rules]
    made = {path: n for (_, path), n in proxy.forwarded.items() if path.endswith("/create")}
    ones = ("experiments/create", "registered-models/create", "model-versions/create")
    assert made == {"runs/create": 1 + TRIALS + 2} | dict.fromkeys(ones, 1)
    study.check(mlflow_server)


def test_temporary_refusals_are_retried(proxy: Proxy, tmp_path: Path, mlflow_server: str) -> None:
    rules = [
        proxy.answer(429, "experiments/get-by-name", times=1),
        proxy.answer(503, "experiments/create", times=1),
        proxy.answer(500, "runs/create", skip=1, times=2),
        proxy.answer(429, "runs/log-batch", skip=5, times=2),
        proxy.answer(503, "mlflow-artifacts/.*trial.json", times=1),
        proxy.answer(500, "runs/update", skip=2, times=1),
        proxy.answer(503, "registered-models/create", times=1),
    ]
    study = Study(tmp_path, "refused", proxy.url)
    display = RecordingDisplay()
    study.run(display)
    assert [rule.hits for rule in rules] == [rule.times for rule in rules]
    assert any("response 503 Service Unavailable" in text for text in display.messages), (
        display.messages
    )
    study.check(mlflow_server)


def test_training_does_not_wait_for_a_slow_server(
    proxy: Proxy, tmp_path: Path, mlflow_server: str
) -> None:
    """One request takes it 30 s."""
    began = time.monotonic()
    slow = proxy.delay(30, "runs/log-batch", times=1)
    study, display = Study(tmp_path, "slow", proxy.url), RecordingDisplay()
    study.run(display)
    assert slow.hits == 1
    assert len(display.ends) == TRIALS
    assert display.ends[-1] - began < 30 < time.monotonic() - began
    study.check(mlflow_server)


def test_an_absent_server_gets_everything_later(
    absent: Absent, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = absent.study
    (status, output), (again, sync_output) = absent.done.result(180)
    assert status == 75, output
    assert f"{TRIALS} of {TRIALS} trials are done" in output
    assert output.splitlines()[-1].endswith("harness sync absent, or rerun the same command")
    assert again == 75, sync_output
    assert len(sync_output.splitlines()) == 1, sync_output

    absent.proxy.start_listening()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", study.uri)
    status, sent = run_command(study.folder, "sync")
    assert status == 0, sent
    assert re.fullmatch(r"absent: \d+ writes sent to http://\S+\n", sent)
    status, concluded = run_command(study.folder, *RUN)
    assert status == 0, concluded
    study.check(mlflow_server)

    texts = [output, sync_output, sent, concluded, *map(str, list_files(study.folder))]
    texts += [path.read_bytes().decode(errors="replace") for path in list_files(study.folder)]
    assert not any(secret in text for text in texts for secret in (CANARY, QUOTED))


def list_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_server_may_be_killed_and_restarted(
    mlflow_process: MlflowServer, proxy: Proxy, tmp_path: Path
) -> None:
    back: list[float] = []

    def start() -> None:
        mlflow_process.start()
        back.append(time.monotonic())

    starting = threading.Thread(target=start)

    def kill() -> None:
        proxy.wait_for("runs/create", times=2)  # the study's, a trial's
        mlflow_process.kill()
        starting.start()

    study, display = Study(tmp_path, "killed", proxy.url), RecordingDisplay(actions={2: kill})
    try:
        study.run(display)
    except Unsent:  # the server may take longer to start than the study waits
        starting.join()
        study.run()
    starting.join()
    assert len(display.ends) == TRIALS
    assert display.ends[-1] < back[0], "training continued without the server"
    study.check(mlflow_process.url)


def test_a_late_write_of_the_server_is_not_doubled(
    proxy: Proxy, tmp_path: Path, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It creates a run after the request timed out and a retry created the run."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    late = proxy.delay(3, "runs/create", times=3)
    study = Study(tmp_path, "late", proxy.url)
    study.run()
    assert late.hits == 3
    made = proxy.forwarded["POST", "runs/create"]
    assert made > 1 + TRIALS, "otherwise this test shows nothing"
    study.check(mlflow_server)
