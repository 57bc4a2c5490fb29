"""The commands, each in its own process: output, exit status, Ctrl-C."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.cli import main, read_commands, run_commands
from harness.errors import DataError
from harness.sweep.dry_run import dry_run
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.workspace import Workspace
from tests.faults.recorded_study import PROGRESS_LINE
from tests.support.digits_study import STUDY


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, cwd=folder
    )


@pytest.mark.slow
def test_json_lines_end_with_the_summary(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    done = command(
        tmp_path, "run-study", "./tiny.toml", "--cpu", "--trials", "2", "--format", "json",
        "--set", "study.name=told", "--set", "confirm.seeds=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines if line["event"] not in ("message", "stage")] == [
        *("trial", "trial"),
        *("confirm", "confirm"),
        "verdict",
    ]
    summary = lines[-1]
    assert summary["trials"]["complete"] == 2
    assert summary["test"]["looks"] == 1
    accuracy = summary["test"]["class_accuracy"]
    assert summary["test"]["hardest_class"] == min(
        accuracy, key=lambda name: (accuracy[name], name)
    )
    for part in ("validation", "test"):
        for name, (low, high) in summary[part]["class_intervals"].items():
            assert low <= summary[part]["class_accuracy"][name] <= high


@pytest.mark.slow
@pytest.mark.parametrize("wait_for", ["trial 4:", "4 trials on CPU"])
def test_ctrl_c_in_a_terminal_is_one_line_and_the_same_command_continues(
    tmp_path: Path, wait_for: str
) -> None:
    """Ctrl-C reaches every process of the terminal's group, the workers too."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    arguments = [
        *(sys.executable, "-m", "harness", "run-study", "./tiny.toml", "--cpu"),
        *("--trials", "4000" if wait_for == "trial 4:" else "4"),
    ]
    with subprocess.Popen(
        arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if wait_for in line:
                os.killpg(process.pid, signal.SIGINT)
                break
        lines += process.stderr.readlines()
        assert process.wait(30) == 130
    assert not any("Traceback" in line for line in lines), lines
    assert "rerun the same command to continue" in lines[-2]
    assert shlex.split(lines[-1]) == [
        "harness", "run-study", "./tiny.toml", f"--trials={arguments[-1]}", "--cpu"
    ]  # fmt: skip
    if wait_for == "trial 4:":
        assert "  best so far: val/accuracy 0." in lines[-3]
    uri = Workspace(tmp_path / "mlruns").local_uri
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None or wait_for != "trial 4:"  # nothing is sent if it stops early
    ids = [experiment.experiment_id] if experiment is not None else []
    states = {run.info.status for run in (client.search_runs(ids) if ids else [])}
    assert "RUNNING" not in states
    done = len([line for line in lines if "  trial " in line and "interrupted" not in line])
    resumed = command(tmp_path, "run-study", "./tiny.toml", "--cpu", "--trials", str(done + 2))
    assert resumed.returncode == 0, resumed.stderr
    assert "complete" in resumed.stdout


@pytest.mark.slow
def test_the_other_commands_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")  # the summary has other characters
    (tmp_path / "tiny.toml").write_text(STUDY)
    assert command(tmp_path, "report", "tiny").returncode == 2
    study = ("run-study", "./tiny.toml", "--cpu", "--trials", "2", "--no-confirm")
    done = command(tmp_path, *study)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^test accuracy +\d\.\d{4}", done.stdout, re.MULTILINE)
    lines = [re.sub(r"\d+|, .*|: .*", "", line[21:]) for line in done.stderr.splitlines()]
    assert lines == [
        "reading the study file",
        "preparing the data",
        "tiny",
        "opening the tracking store",
        "starting the workers",
        "searching (val/accuracy)",
        "/  trial ",
        "/  trial ",
        "recording the trials",
        "choosing the champion",
        "exporting the model of trial ",
        "opening the test set for trial ",
        "writing the report",
        "recording the results",
    ]
    done = command(tmp_path, "train", "./tiny.toml", "--cpu", "--test", "--format", "json")
    tested = json.loads(done.stdout.splitlines()[-1])["test"]
    assert 0 < tested["interval"][0] < tested["accuracy"] <= tested["interval"][1] <= 1
    rows = json.loads(command(tmp_path, "studies", "--format", "json").stdout)
    (row,) = (row for row in rows if row["recorded"])
    assert (row["name"], row["done"], row["sealed"]) == ("tiny", 2, False)
    assert command(tmp_path, "report", "tiny").stdout.strip() == "mlruns/reports/tiny/index.html"


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "tiny.toml").write_text(STUDY)
    before = snapshot(tmp_path)
    done = command(tmp_path, "run-study", "./tiny.toml", "--dry-run", "--cpu", "--format", "json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["trials"] == 6
    assert plan["sizes"] == {"train": 1149, "validation": 288, "test": 360}
    assert plan["space"]["batch_norm"] == ["none", "before", "after"]
    assert 0 < plan["seconds"] <= plan["seconds_at_most"] < 600
    assert snapshot(tmp_path) == before


def test_a_dry_run_does_not_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)
    plan = make_plan("mnist", RunOptions(device="cpu"))
    with pytest.raises(DataError, match=r"^mnist: the data is not downloaded yet, and --dry-run"):
        dry_run(plan)
    assert not (tmp_path / "cache").exists()


def snapshot(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


MISTAKES: dict[str, tuple[list[str], str]] = {
    "gpu": (["run-study", "quickstart", "--gpu"], "--gpu: this machine has no CUDA device"),
    "both": (["run-study", "quickstart", "--gpu", "--cpu"], "exclude each other"),
    "unknown study": (["run-study", "quikstart"], "did you mean 'quickstart'?"),
    "misspelt key": (
        ["run-study", "quickstart", "--set", "train.epoch=3"],
        "did you mean 'epochs'?",
    ),
    "no data": (["run-study", "mnist", "--data-dir", "."], "MNIST/raw/train-images-idx3-ubyte"),
    "no trials": (["run-study", "quickstart", "--trials", "0"], "--trials: must be at least 1"),
    "no duration": (["run-study", "quickstart", "--timeout", "soon"], "--timeout: 'soon' is no"),
    "no workers": (["train", "quickstart", "--seed", "-1"], "--seed: must be at least 0"),
    "no record": (["ui"], "mlruns/mlflow.db; start with: harness run-study quickstart"),
    "no address": (
        ["studies", "--tracking-uri", "foo"],
        "'foo' is not a tracking address; write http://HOST:PORT",
    ),
    "nothing to test": (["test", "quickstart"], "mlruns/mlflow.db; start with: harness run-study"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # without a GPU, --gpu is a mistake
    arguments, message = MISTAKES[name]
    done = command(tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert [line for line in done.stderr.splitlines() if not PROGRESS_LINE.match(line)] == [
        done.stderr.splitlines()[-1]
    ]
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_every_command_is_registered_with_an_example_and_documented() -> None:
    modules = (main, read_commands, run_commands)
    groups = (main.app, read_commands.read_commands, run_commands.run_commands)
    commands = [command for group in groups for command in group.registered_commands]
    public = {
        function
        for module in modules
        for function in vars(module).values()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not function.__name__.startswith("_")
    }
    assert public - {main.main, main.run} == {command.callback for command in commands}
    root = Path(__file__).parents[2]
    pages = [page.read_text() for page in [root / "README.md", *root.glob("docs/**/*.md")]]
    for command in commands:
        assert command.callback
        assert inspect.getdoc(command.callback)
        name = command.name or command.callback.__name__
        assert (command.epilog or "").startswith(f"Example: harness {name}")
        assert any(f"harness {name}" in page for page in pages), f"document harness {name}"


def test_closed_streams_are_no_error(tmp_path: Path) -> None:
    """As under a service without any: an error still ends with its status, 2."""
    program = f"exec {sys.executable} -m harness doctor {{}}"
    for closed in ("2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(["sh", "-c", program.format(closed)], cwd=tmp_path, timeout=60)
        assert done.returncode == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_study_runs_with_closed_streams(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    program = (
        f"exec {sys.executable} -m harness run-study ./tiny.toml --cpu --trials 2 <&- >&- 2>&-"
    )
    assert subprocess.run(["sh", "-c", program], cwd=tmp_path, timeout=120).returncode == 0
    assert "tiny  healthy: 2 trials" in command(tmp_path, "doctor").stdout
