"""Real FashionMNIST through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.realdata


def command(folder: Path, *arguments: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments, "--format", "json"],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_the_network_of_the_course_handout_reaches_its_accuracy(
    real_data: Path, tmp_path: Path
) -> None:
    settings = {
        "hidden": "[300,100]",
        "optimizer": "adam",
        "learning_rate": "1e-3",
        "batch_size": "64",
        "epochs": "12",
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"train.{key}={value}")]
    trained = command(
        tmp_path, "train", "fashion-mnist", "--cpu", "--data-dir", str(real_data), *sets
    )[-1]
    best = trained["best"]
    assert isinstance(best, dict)
    assert best["val_accuracy"] >= 0.88


@pytest.mark.slow
def test_a_sweep_beats_chance_and_reads_the_test_set_once(real_data: Path, tmp_path: Path) -> None:
    lines = command(
        tmp_path, "run-study", "--cpu", "--data-dir", str(real_data), "--trials", "6",
        "--set", "train.epochs=2", "--set", "space.width={low=32, high=128}",
    )  # fmt: skip
    assert sum(line["event"] == "trial" for line in lines) == 6
    test = lines[-1]["test"]
    assert isinstance(test, dict)
    assert test["accuracy"] > 0.8
    assert test["looks"] == 1
    assert len(test["class_accuracy"]) == 10
