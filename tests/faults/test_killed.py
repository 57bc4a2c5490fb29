"""The driver is killed many times at random; many drivers start at once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.faults.study_comparison import (
    confirmation_results,
    read_optuna_trials,
    read_study,
    results_by_ordinal,
)

pytestmark = pytest.mark.slow
STUDY = """
[study]
trials = 13
pruner = "median"
[confirm]
top = 2
seeds = 2
[data]
name = "digits"
validation = 0.2
[train]
epochs = 8
[space]
depth = [1, 2]
width = { low = 16, high = 128 }
learning_rate = { low = 1e-4, high = 1e-1, log = true }
optimizer = ["sgd", "adam"]
"""
COMMAND = [sys.executable, "-m", "harness"]
RUN = [*COMMAND, "run-study", "./tiny.toml", "--cpu", "--workers", "1"]
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def make_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "tiny.toml").write_text(STUDY)
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def count_ended(folder: Path) -> int:
    """Count the ended trials; 0 before there is a journal."""
    if not (folder / "mlruns" / "optuna" / "tiny.journal").is_file():
        return 0
    return sum(trial.state in ENDED for trial in read_optuna_trials(folder))


def get_size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def test_a_study_killed_at_random_times_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    alone, killed = make_folder(tmp_path / "alone"), make_folder(tmp_path / "killed")
    assert run(alone, *RUN).returncode == 0
    rng, kills, before = random.Random(6), 0, 0
    file = killed / "mlruns" / "optuna" / "tiny.journal"
    while True:
        process = subprocess.Popen(
            RUN, cwd=killed, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        # On a machine of any speed: after some more records, at a random moment. What writes no
        # journal is tested with failpoints.
        target = get_size(file) + rng.randint(1, 16000)
        while process.poll() is None and get_size(file) < target:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        if get_size(file) >= target and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        _, output = process.communicate()
        now = count_ended(killed)
        assert now >= before, "ended trials were lost"
        before = now
        if process.returncode != -signal.SIGKILL:
            break
    assert process.returncode == 0, output.decode()
    assert kills >= 3
    print(f"killed {kills} times")
    doctor = run(killed, *COMMAND, "doctor", "tiny")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert results_by_ordinal(killed) == results_by_ordinal(alone)
    assert confirmation_results(killed) == confirmation_results(alone)
    study, expected = read_study(killed), read_study(alone)
    assert [reading.confusion for reading in study.readings] == [
        reading.confusion for reading in expected.readings
    ]
    assert study.test_set_openings == 1


def test_eight_drivers_started_at_once_create_one_study(tmp_path: Path) -> None:
    """Another study starts in the same folder at the same time, before there is a database."""
    folder = make_folder(tmp_path / "eight")
    command = [*RUN, "--trials", "3", "--set", "train.epochs=2"]
    other = subprocess.Popen(
        [*command, "--set", "study.name=other"], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    started = [
        subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    ends = [(*process.communicate(), process.returncode) for process in started]
    _, errors = other.communicate()
    assert other.returncode == 0, errors
    successful = [end for end in ends if end[2] == 0]
    assert successful, [end[1] for end in ends]
    for _, errors, status in ends:
        assert "Traceback" not in errors
        if status != 0:
            assert status == 2, errors
            assert "study 'tiny' is being driven by process" in errors
    assert count_ended(folder) == 3
    doctor = run(folder, *COMMAND, "doctor")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
