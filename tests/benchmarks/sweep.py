"""The same 20 trials x 3 epochs of FashionMNIST: by the usual loop, and through the real driver.

    python tests/benchmarks/sweep.py DATA_DIR [ROUNDS]

The usual loop is that of usual_loop.py, extrapolated from a ninth of an epoch of each trial and
checked on three whole ones (run that file to see the check alone). Ours is a process of its own:
the driver, a worker a core, MLflow in a new SQLite database, no pruning. Its sweep is timed from
the first submission to the last trial told; its whole command from the start of the process to its
end, with the imports, the database, the workers' start and the data's decoded cache, but without a
champion and a report, which are the study's and not the sweep's. Both alternate, ROUNDS times
(default 3); medians with the least and the most. The machine must be idle.
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

from fixed_list import specs, step_flops

from harness.executors.devices import Demand

SHARE = 1 / 9


def sweep(folder: Path, count: int, epochs: int, device: Demand) -> dict[str, float]:
    """Ours, in this process: seconds of wall time and of CPU time."""
    from harness.executors.processes import ProcessExecutor
    from harness.results import TrialResult
    from harness.search.fixed_trials import FixedSearch
    from harness.sweep.driver import Driver
    from harness.sweep.options import RunOptions
    from harness.sweep.plan import make_plan
    from harness.sweep.progress import Silent
    from harness.system.signals import StopFlag

    trials = specs(count, epochs=epochs)
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
            executor.wait(0)  # the workers start while the database is made
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
            before = sum(map(cpu_seconds, workers))
            assert driver.run(StopFlag()) == "done"
            tracker.flush()  # all of it is in MLflow
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            trained = sum(map(cpu_seconds, workers)) - before
            tracker.close_study(source.uid, "COMPLETE")
        results = [source.outcomes[number] for number in range(len(trials))]
    values = [r.best.val_accuracy for r in results if isinstance(r, TrialResult)]
    assert len(values) == len(trials), "every trial must have trained"
    return {"sweep": wall, "driver": cpu, "workers": trained, "best": max(values)}


def cpu_seconds(pid: int | None) -> float:
    """User and system time of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def whole_command(
    folder: Path, count: int = 20, epochs: int = 3, device: Demand = "cpu"
) -> dict[str, float]:
    """Ours, as a process of its own."""
    started = time.perf_counter()
    command = [
        sys.executable,
        __file__,
        "--ours",
        str(folder),
        str(count),
        str(epochs),
        str(device),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured | {"command": time.perf_counter() - started}


def show(name: str, values: list[float], unit: str = "s") -> None:
    spread = f"({min(values):.1f} to {max(values):.1f}, n = {len(values)})"
    print(f"{name:<34} {statistics.median(values):6.1f} {unit:<4} {spread}")


def main(folder: Path, rounds: int) -> None:
    from usual_loop import UsualLoop, machine

    print(machine("cpu"), flush=True)
    trials = specs()
    by_work = sorted(trials, key=step_flops)
    whole = (by_work[0], by_work[len(by_work) // 2], by_work[-1])
    usual, ours, checks = [], [], []
    for index in range(rounds):
        with UsualLoop(folder) as loop:
            guesses = {spec: loop.extrapolate(spec, SHARE) for spec in trials}
            checks.append(loop.train(whole[index % 3]) / guesses[whole[index % 3]])
        usual.append(sum(guesses.values()))
        ours.append(whole_command(folder))
        print(f"round {index + 1}: {usual[-1]:.1f} s against {ours[-1]['sweep']:.1f} s", flush=True)
    show("usual loop, extrapolated", usual)
    show("  a whole trial / its extrapolation", checks, "")
    show("ours, first submit to last tell", [one["sweep"] for one in ours])
    show("ours, the whole command", [one["command"] for one in ours])
    for name in ("sweep", "command"):
        ratios = [base / one[name] for base, one in zip(usual, ours, strict=True)]
        show(f"usual loop / our {name}", ratios, "x")
    shares = [100 * one["driver"] / (one["driver"] + one["workers"]) for one in ours]
    show("driver's share of all CPU time", shares, "%")
    show("best validation accuracy", [100 * one["best"] for one in ours], "%")


if __name__ == "__main__":
    if sys.argv[1] == "--ours":
        _, _, where, how_many, how_long, on = sys.argv
        demand: Demand = "gpu" if on == "gpu" else "cpu"
        print(json.dumps(sweep(Path(where), int(how_many), int(how_long), demand)))
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)
