"""Benchmark 20 trials x 3 epochs of FashionMNIST: harness and the usual loop.

    python tests/benchmarks/sweep.py DATA_DIR [ROUNDS]
    python tests/benchmarks/sweep.py DATA_DIR ROUNDS gaps        # harness alone

The usual loop of usual_loop.py is extrapolated from a ninth of an epoch of each trial and checked
on three whole trials. harness runs in its own process: the driver, a worker for each core, MLflow
in a new SQLite database, no pruning. Its sweep is timed from the first submission to the last
trial's end. Its whole command is timed from the start of the process to its end: with imports,
database, start of the workers and cache of the data, without champion and report, which the loop
does not have. Both alternate, ROUNDS times (default 3); printed are medians with minimum and
maximum. The machine must be idle.

A worker's gaps are the time from its first epoch's start to its last epoch's end outside of epochs,
by the times that the epochs record: new trials' parameters, the driver's answers, results, sending.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fixed_list import create_specs, step_flops

from harness.executors.devices import DeviceOption

if TYPE_CHECKING:
    from harness.executors.base import Event
    from harness.executors.processes import ProcessExecutor
    from harness.results import EpochMetrics

SHARE = 1 / 9


def sweep(folder: Path, count: int, epochs: int, device: DeviceOption) -> dict[str, float]:
    """Run the sweep in this process; return seconds of wall time and of CPU time."""
    from harness.executors.processes import ProcessExecutor
    from harness.results import TrialResult
    from harness.search.fixed_trials import FixedSearch
    from harness.sweep.driver import Driver
    from harness.sweep.options import RunOptions
    from harness.sweep.plan import make_plan
    from harness.sweep.progress import Silent
    from harness.system.signals import StopFlag

    trials = create_specs(count, epochs=epochs)
    with tempfile.TemporaryDirectory() as home:
        planned = make_plan("fashion-mnist", RunOptions(data_dir=folder, home=home, device=device))
        prepared = planned.prepare()
        source = FixedSearch("sweep", trials)
        with (
            planned.create_executor(prepared, len(trials)) as executor,
            planned.workspace.open_outbox("sweep", planned.resolved_tracking_uri) as tracker,
        ):
            assert isinstance(executor, ProcessExecutor)
            tracker.ended_cleanly = True
            executor.wait(0)  # start the workers while the database is created
            tracker.open_study(planned.build_record(prepared, source.uid))
            driver = Driver(
                source,
                executor,
                tracker,
                Silent(),
                target=len(trials),
                objective="val/accuracy",
            )
            workers = [worker.process.pid for worker in executor._workers]
            wall, cpu = time.perf_counter(), time.process_time()
            before, epochs = sum(map(cpu_seconds, workers)), record_epochs(executor)
            assert driver.run(StopFlag()) == "done"
            tracker.flush()  # wait until everything is in MLflow
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            trained = sum(map(cpu_seconds, workers)) - before
            tracker.close_study(source.uid, "COMPLETE")
        results = [source.outcomes[number] for number in range(len(trials))]
    values = [r.best.val_accuracy for r in results if isinstance(r, TrialResult)]
    assert len(values) == len(trials), "every trial must have trained"
    shares = {"gap": 100 * measure_gap(epochs)}
    return shares | {"sweep": wall, "driver": cpu, "workers": trained, "best": max(values)}


def record_epochs(executor: ProcessExecutor) -> dict[str, list[EpochMetrics]]:
    """Return a dictionary that gets each worker's epochs, as they arrive."""
    from harness.executors.base import EpochEnded

    epochs: dict[str, list[EpochMetrics]] = {}
    wait = executor.wait

    def record(timeout: float) -> list[Event]:
        events = wait(timeout)
        for event in events:
            if isinstance(event, EpochEnded):
                epochs.setdefault(event.worker, []).append(event.metrics)
        return events

    executor.wait = record  # type: ignore[method-assign]
    return epochs


def measure_gap(epochs: dict[str, list[EpochMetrics]]) -> float:
    """Return the share of the workers' time, from first to last epoch, outside of epochs."""
    total = sum(each[-1].time - each[0].time + each[0].seconds for each in epochs.values())
    return 1 - sum(one.seconds for each in epochs.values() for one in each) / total


def cpu_seconds(pid: int | None) -> float:
    """Return the user and system time of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_command(
    folder: Path, count: int = 20, epochs: int = 3, device: DeviceOption = "cpu"
) -> dict[str, float]:
    """Run the sweep in a new process; return its measurements and the seconds of the command."""
    started = time.perf_counter()
    command = [
        sys.executable,
        __file__,
        "--sweep",
        str(folder),
        str(count),
        str(epochs),
        str(device),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured | {"command": time.perf_counter() - started}


def print_row(name: str, values: list[float], unit: str = "s") -> None:
    spread = f"({min(values):.1f} to {max(values):.1f}, n = {len(values)})"
    print(f"{name:<34} {statistics.median(values):6.1f} {unit:<4} {spread}")


def main(folder: Path, rounds: int, is_gaps_only: bool) -> None:
    from usual_loop import UsualLoop, describe_machine

    print(describe_machine("cpu"), flush=True)
    trials = create_specs()
    by_work = sorted(trials, key=step_flops)
    whole = (by_work[0], by_work[len(by_work) // 2], by_work[-1])
    usual, ours, checks = [], [], []
    if is_gaps_only:
        gaps = [run_command(folder)["gap"] for _ in range(rounds)]
        return print_row("gaps between a worker's trials", gaps, "%")
    for index in range(rounds):
        with UsualLoop(folder) as loop:
            guesses = {spec: loop.extrapolate(spec, SHARE) for spec in trials}
            checks.append(loop.train(whole[index % 3]) / guesses[whole[index % 3]])
        usual.append(sum(guesses.values()))
        ours.append(run_command(folder))
        print(f"round {index + 1}: {usual[-1]:.1f} s against {ours[-1]['sweep']:.1f} s", flush=True)
    print_row("usual loop, extrapolated", usual)
    print_row("  a whole trial / its extrapolation", checks, "")
    print_row("ours, first submit to last tell", [one["sweep"] for one in ours])
    print_row("ours, the whole command", [one["command"] for one in ours])
    for name in ("sweep", "command"):
        ratios = [base / one[name] for base, one in zip(usual, ours, strict=True)]
        print_row(f"usual loop / our {name}", ratios, "x")
    shares = [100 * one["driver"] / (one["driver"] + one["workers"]) for one in ours]
    print_row("driver's share of all CPU time", shares, "%")
    print_row("gaps between a worker's trials", [one["gap"] for one in ours], "%")
    print_row("best validation accuracy", [100 * one["best"] for one in ours], "%")


if __name__ == "__main__":
    if sys.argv[1] == "--sweep":
        _, _, folder, count, epochs, kind = sys.argv
        demand: DeviceOption = "gpu" if kind == "gpu" else "cpu"
        print(json.dumps(sweep(Path(folder), int(count), int(epochs), demand)))
    else:
        count = int(sys.argv[2]) if len(sys.argv) > 2 else 3
        main(Path(sys.argv[1]), count, "gaps" in sys.argv[3:])
