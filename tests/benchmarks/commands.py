"""Benchmark whole commands: CPU and wall seconds, and their ratio to `import torch, mlflow`.

    python tests/benchmarks/commands.py [ROUNDS] [--train]

Makes a record of `quickstart` with 50 trials in a temporary folder, then runs the commands that
read it in turns with `import torch, mlflow`, ROUNDS times (default 5). --train also runs a new
quickstart and one trial of the digits, both with --no-confirm, in a new folder each. Printed are
medians with minimum and maximum, and the median ratio of CPU and of wall seconds to the import in
the same round. CPU seconds are those of all processes that a command starts. On a busy machine,
trust the CPU seconds only. No absolute time is asserted.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HARNESS = (sys.executable, "-m", "harness")
BASE = "import torch, mlflow"
READS = {
    "harness studies": ("studies",),
    "harness report": ("report", "quickstart"),
    "harness compare": ("compare", "quickstart/0", "quickstart/1"),
    "harness doctor": ("doctor", "quickstart"),
    "harness predict --test 1": ("predict", "quickstart", "--test", "1"),
    "re-run of the finished study": ("run-study", "quickstart", "--no-confirm"),
}
ONE_TRIAL = ("--trials", "1", "--set", "train.epochs=5", "--set", "train.hidden=[32]")
TRAININGS = {
    "quickstart, new folder": ("run-study", "quickstart", "--no-confirm"),
    "one trial of the digits": ("run-study", "quickstart", "--no-confirm", *ONE_TRIAL),
}


def measure(command: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """Return the wall and the CPU seconds of a command."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, (command, done.stderr)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def run_round(record: Path, trains: bool) -> Iterator[tuple[str, tuple[float, float]]]:
    yield BASE, measure((sys.executable, "-c", BASE), record)
    for name, arguments in READS.items():
        yield name, measure((*HARNESS, *arguments), record)
    for name, arguments in TRAININGS.items() if trains else ():
        with tempfile.TemporaryDirectory() as folder:
            yield name, measure((*HARNESS, *arguments), Path(folder))


def print_rows(rounds: list[dict[str, tuple[float, float]]]) -> None:
    print(f"{'':<30} {'CPU s':>22} {'wall s':>22} {'/ import: CPU':>14} {'wall':>6}")
    for name in rounds[0]:
        cells = []
        for kind in (1, 0):
            values = [each[name][kind] for each in rounds]
            spread = f"({min(values):.2f} to {max(values):.2f})"
            cells.append(f"{statistics.median(values):.2f} {spread}")
        ratios = [
            statistics.median(each[name][kind] / each[BASE][kind] for each in rounds)
            for kind in (1, 0)
        ]
        print(f"{name:<30} {cells[0]:>22} {cells[1]:>22} {ratios[0]:>14.2f} {ratios[1]:>6.2f}")


def main(count: int, trains: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder)
        measure((*HARNESS, "run-study", "quickstart", "--no-confirm"), record)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, n = {count}", flush=True)
        rounds = [dict(run_round(record, trains)) for _ in range(count)]
        print_rows(rounds)
        print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:] if each.isdecimal()]
    main(numbers[0] if numbers else 5, "--train" in sys.argv)
