"""Benchmark the seconds of `harness run-study` in which nothing is trained.

    python tests/benchmarks/dead_seconds.py [ROUNDS] [--no-bytecode]

A round runs, each in a new folder: `import torch, mlflow`, `quickstart`, `quickstart --no-confirm`,
and one trial of the digits with --no-confirm. The first round is a warm-up and is not counted; then
ROUNDS of them (default 5). Printed are Markdown rows: medians with minimum and maximum, and the
median ratio to the import in the same round. CPU seconds are those of the driver: those of the
workers are in no row.

The imports take twice as long if Python may not store its bytecode (PYTHONDONTWRITEBYTECODE) and
has to compile every module again. So the bytecode is stored in a temporary folder; --no-bytecode
measures without. On a busy machine, trust the CPU seconds only. No time is asserted.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

BASE = "import torch, mlflow"
ONE_TRIAL = ("--trials", "1", "--set", "train.epochs=5", "--set", "train.hidden=[32]")
COMMANDS = {
    "quickstart": ("quickstart",),
    "quickstart --no-confirm": ("quickstart", "--no-confirm"),
    "one trial of the digits": ("quickstart", "--no-confirm", *ONE_TRIAL),
}
FIRST_EPOCH, SEARCH_END = "the first trained epoch", "recording the trials"


@dataclass
class Run:
    """Wall and CPU seconds of a command, and its wall seconds before and after the training."""

    wall: float
    cpu: float
    first_epoch: float = 0.0
    after_last_epoch: float = 0.0


def measure(command: tuple[str, ...], environment: dict[str, str]) -> Run:
    """Run a command in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, (command, done.stderr)
        run = Run(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        for file in Path(folder).rglob("timings.json"):
            starts = {
                phase["name"]: phase["start"] for phase in json.loads(file.read_text())["phases"]
            }
            run.first_epoch = starts[FIRST_EPOCH]
            run.after_last_epoch = wall - starts[SEARCH_END]
        return run


def run_round(environment: dict[str, str]) -> dict[str, Run]:
    runs = {BASE: measure((sys.executable, "-c", BASE), environment)}
    for name, arguments in COMMANDS.items():
        command = (sys.executable, "-m", "harness", "run-study", *arguments)
        runs[name] = measure(command, environment)
    return runs


def format_row(name: str, values: list[float], unit: str = "s") -> str:
    median = f"{statistics.median(values):.2f} {unit}"
    return f"| {name} | {median} | {min(values):.2f} to {max(values):.2f} |"


def print_rows(rounds: list[dict[str, Run]]) -> None:
    print("| what | median | range |\n|---|---|---|")
    for name in ("quickstart", "quickstart --no-confirm"):
        first = [each[name].first_epoch for each in rounds]
        print(format_row(f"{name}: command to first trained epoch", first))
    last = [each["quickstart --no-confirm"].after_last_epoch for each in rounds]
    print(format_row("quickstart --no-confirm: last epoch to exit", last))
    print(format_row(f"`{BASE}`: wall", [each[BASE].wall for each in rounds]))
    print(format_row(f"`{BASE}`: CPU", [each[BASE].cpu for each in rounds]))
    for name in COMMANDS:
        wall, cpu = ([getattr(each[name], kind) for each in rounds] for kind in ("wall", "cpu"))
        print(format_row(f"{name}: wall", wall))
        print(format_row(f"{name}: driver's CPU", cpu))
        for kind in ("wall", "cpu"):
            ratios = [getattr(each[name], kind) / getattr(each[BASE], kind) for each in rounds]
            print(format_row(f"{name}: {kind} over the import's", ratios, "x"))


def main(count: int, has_bytecode: bool) -> None:
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"HARNESS_TIMINGS": "1"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if has_bytecode:
            environment["PYTHONPYCACHEPREFIX"] = cache
        else:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        run_round(environment)
        load = os.getloadavg()[0]
        print(f"{os.cpu_count()} cores, load {load:.1f}, n = {count}", flush=True)
        print_rows([run_round(environment) for _ in range(count)])
        print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:] if each.isdecimal()]
    main(numbers[0] if numbers else 5, "--no-bytecode" not in sys.argv)
