"""The driver is killed at random times, again and again; many begin at once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.faults.study_comparison import asked, by_ordinal, confirmed, read

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


def make(folder: Path) -> Path:
    folder.mkdir()
    (folder / "tiny.toml").write_text(STUDY)
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def done(folder: Path) -> int:
    """How many trials ended for good; 0 before there is a journal."""
    if not (folder / "mlruns" / "optuna" / "tiny.journal").is_file():
        return 0
    return sum(trial.state in ENDED for trial in asked(folder))


def size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def test_killed_at_random_times_it_ends_as_if_left_alone(tmp_path: Path) -> None:
    alone, killed = make(tmp_path / "alone"), make(tmp_path / "killed")
    assert run(alone, *RUN).returncode == 0
    dice, kills, before = random.Random(6), 0, 0
    file = killed / "mlruns" / "optuna" / "tiny.journal"
    while True:
        process = subprocess.Popen(
            RUN, cwd=killed, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        # However fast the machine is: some records further, at a random moment. The rest, which
        # writes no journal, has its failpoints.
        target = size(file) + dice.randint(1, 20000)
        while process.poll() is None and size(file) < target:
            time.sleep(0.002)
        time.sleep(dice.uniform(0, 0.1))
        if size(file) >= target and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        _, said = process.communicate()
        now = done(killed)
        assert now >= before, "work that was done is gone"
        before = now
        if process.returncode != -signal.SIGKILL:
            break
    assert process.returncode == 0, said.decode()
    assert kills >= 3
    print(f"killed {kills} times")
    checked = run(killed, *COMMAND, "doctor", "tiny")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert by_ordinal(killed) == by_ordinal(alone)
    assert confirmed(killed) == confirmed(alone)
    ours, theirs = read(killed), read(alone)
    assert [each.confusion for each in ours.readings] == [
        each.confusion for each in theirs.readings
    ]
    assert ours.test_set_openings == 1


def test_eight_first_starts_at_once_are_one_study(tmp_path: Path) -> None:
    """And another study beside them, in the folder that has no database yet either."""
    folder = make(tmp_path / "eight")
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
    _, said = other.communicate()
    assert other.returncode == 0, said
    drove = [end for end in ends if end[2] == 0]
    assert drove, [end[1] for end in ends]
    for _, said, status in ends:
        assert "Traceback" not in said
        if status != 0:
            assert status == 2, said
            assert "study 'tiny' is being driven by process" in said
    assert done(folder) == 3
    checked = run(folder, *COMMAND, "doctor")
    assert checked.returncode == 0, checked.stdout + checked.stderr
