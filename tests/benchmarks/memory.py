"""Measure the peak memory of `harness run-study fashion-mnist`, all processes together (Linux).

    python tests/benchmarks/memory.py DATA_DIR [TRIALS] [WORKERS]

Memory is the proportional set size: a page that n processes share counts 1/n in each. It is sampled
twice a second over all processes of the command's session, from its start to its end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path


def measure_memory(session: int) -> dict[str, float]:
    """Return the MiB of each process of a session, by its id and name."""
    sizes = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError, IndexError, StopIteration):
            name, _, rest = (folder / "stat").read_text().rpartition(")")
            if int(rest.split()[3]) != session:
                continue
            lines = (folder / "smaps_rollup").read_text().splitlines()
            size = next(line for line in lines if line.startswith("Pss:"))
            sizes[f"{folder.name} {name.partition('(')[2]}"] = int(size.split()[1]) / 1024
    return sizes


def main(folder: Path, trials: int, workers: int) -> None:
    options = ["--trials", str(trials), "--workers", str(workers), "--cpu"]
    command = [sys.executable, "-m", "harness", "run-study", "fashion-mnist", *options]
    command += ["--data-dir", str(folder.resolve())]
    with tempfile.TemporaryDirectory() as cwd:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        peak: dict[str, float] = {}
        samples = 0
        while process.poll() is None:
            now = measure_memory(os.getsid(process.pid))
            peak, samples = max(peak, now, key=lambda one: sum(one.values())), samples + 1
            time.sleep(0.5)
    print(f"exit status {process.returncode}, {trials} trials, {workers} workers, n = {samples}")
    for name, size in peak.items():
        print(f"  {size:7.0f} MiB  {name}")
    print(f"  {sum(peak.values()) / 1024:7.2f} GiB  peak of all")


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[2:]]
    main(Path(sys.argv[1]), *(numbers + [50, 2][len(numbers) :]))
