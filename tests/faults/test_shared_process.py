"""Studies in threads, forks and pools of one process, beside the user's own use of MLflow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.digits_study import STUDY

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).parent / "programs" / "shared_process.py"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the program once; each test reads a part of its outcomes."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "tiny.toml").write_text(STUDY)
    done = subprocess.run(
        [sys.executable, PROGRAM, "tiny.toml"],
        cwd=folder, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize(
    ("study", "ending"),
    [
        ("in-a-thread", "1 trial"),
        ("beside-it", "ConfigError: another study is running in this process; "),
        ("after-the-thread", "1 trial"),
        ("in-a-pool", "ConfigError: a daemonic process, such as a worker of multiprocessing.Pool"),
        ("in-a-pool-alone", "1 trial"),
        ("after-a-fork", "ConfigError: this process was forked from one that has run a study"),
    ],
)
def test_a_study_runs_or_is_refused_in_one_line(
    outcomes: dict[str, Any], study: str, ending: str
) -> None:
    assert outcomes[study].startswith(ending)


def test_the_fork_server_outlives_the_thread_that_started_it(outcomes: dict[str, Any]) -> None:
    assert outcomes["same server"]


def test_nothing_global_is_left_changed(outcomes: dict[str, Any]) -> None:
    assert outcomes["changed"] == []


def test_autologging_and_an_active_run_get_nothing(outcomes: dict[str, Any]) -> None:
    assert outcomes["runs of mine"] == 1
    assert not [tag for tag in outcomes["tags of mine"] if not tag.startswith("mlflow.")]


AUTOLOGGED = """
import mlflow
from sklearn.linear_model import LinearRegression
from harness.sweep.process_state import use_process
mlflow.set_tracking_uri("sqlite:///mine.db")
mlflow.autolog(silent=True)
with use_process():
    LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])  # as the plot of importances does
print(len(mlflow.search_runs(search_all_experiments=True)))
LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
print(len(mlflow.search_runs(search_all_experiments=True)))
"""


def test_autologging_is_off_while_a_study_runs_and_on_again_afterwards(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AUTOLOGGED],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.split() == ["0", "1"], done.stderr
