"""Benchmark how many events a second the driver handles with 64 workers.

    python tests/benchmarks/driver_events.py [TRIALS] [ROUNDS] [SLOTS]        # 300, 5 and 64

The driver, the search, the outbox and MLflow on SQLite are real; the workers are the stub of
driver_cost.py, which answers at once. Each round is a process of its own. An event is an epoch or
the end of a trial; its time is the wall time until the driver waits for the next one, so the
sampling of the trial's successor is a part of it. MLflow's writes go on in a thread meanwhile and
share Python's lock with the driver; `waiting` are the writes left when the last trial ends.

The parts are CPU and wall time of the driver's thread: `sampler` is TPE, `ask` the rest of asking
for a trial, `report` the pruner and Optuna's record of an epoch, `tell` Optuna's record of an end,
`outbox` the writes to the outbox, with their fsync.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from driver_cost import SAMPLING, drive, read_processor_name

PARTS = ("sampler", "ask", "report", "tell", "outbox", "rest")


class PartTimer:
    """Accumulates this thread's time by part; a part inside another is not counted twice."""

    def __init__(self) -> None:
        self.cpu, self.wall = dict.fromkeys(PARTS, 0.0), dict.fromkeys(PARTS, 0.0)
        self._part, self._since = "", (0.0, 0.0)

    def wrap(self, owner: type, name: str, part: str) -> None:
        method: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(method)
        def timed(*arguments: Any, **more: Any) -> Any:
            outer = self._switch(part)
            try:
                return method(*arguments, **more)
            finally:
                self._switch(outer)

        setattr(owner, name, timed)

    def _switch(self, part: str) -> str:
        now, before = (time.thread_time(), time.perf_counter()), self._part
        if before:
            self.cpu[before] += now[0] - self._since[0]
            self.wall[before] += now[1] - self._since[1]
        self._part, self._since = part, now
        return before


def measure(trials: int, slots: int) -> dict[str, float]:
    """Run a study in this process; return its measurements."""
    import optuna

    from harness.search.study import Search
    from harness.sweep.driver import Driver
    from harness.tracking.outbox import OutboxTracker

    timer, fsyncs, facts = PartTimer(), [0.0], {}
    for name in SAMPLING:
        timer.wrap(optuna.samplers.TPESampler, name, "sampler")
    for owner, names, part in (
        (Search, ("ask",), "ask"),
        (Search, ("report",), "report"),
        (Search, ("tell_result", "tell_failure"), "tell"),
        (OutboxTracker, ("_write",), "outbox"),
        (Driver, ("_refill", "_handle_event"), "rest"),
    ):
        for name in names:
            timer.wrap(owner, name, part)
    sync, close = os.fsync, OutboxTracker.close_study

    def count_fsync(descriptor: int) -> None:
        started = time.perf_counter()
        sync(descriptor)
        fsyncs[:] = [fsyncs[0] + time.perf_counter() - started, *fsyncs[1:], 0.0]

    def note_waiting(tracker: OutboxTracker, *arguments: Any, **more: Any) -> None:
        facts["waiting"] = float(tracker.waiting)
        close(tracker, *arguments, **more)

    os.fsync, OutboxTracker.close_study = count_fsync, note_waiting  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        costs, _ = drive(trials, Path(folder), rising=False, slots=slots)
    events = sum(cost.epochs + 1 for cost in costs)
    wall = sum(cost.driver.wall for cost in costs)
    parts = {part: 1000 * seconds / events for part, seconds in timer.cpu.items()}
    walls = {f"{part} wall": 1000 * seconds / events for part, seconds in timer.wall.items()}
    fsync = 1000 * fsyncs[0] / events
    return (
        facts
        | parts
        | walls
        | {
            "events": events / wall,
            "cpu": sum(parts.values()),
            "fsyncs": (len(fsyncs) - 1) / trials,
            "fsync": fsync,
        }
    )


def main(trials: int, rounds: int, slots: int) -> None:
    print(f"{read_processor_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{trials} trials, {slots} stub workers, {rounds} rounds: median (min to max)")
    measured = []
    for _ in range(rounds):
        command = [sys.executable, __file__, "--measure", str(trials), str(slots)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        measured.append(json.loads(done.stdout))
    names = {"events": "events a second", "cpu": "CPU ms an event"}
    names |= {part: f"  {part}" for part in PARTS}
    names |= {
        "fsync": "wall ms of fsync an event",
        "fsyncs": "fsyncs a trial",
        "waiting": "writes waiting at the end",
    }
    for key, name in names.items():
        values = [one[key] for one in measured]
        spread = f"({min(values):.2f} to {max(values):.2f})"
        line = f"| {name:<26} | {statistics.median(values):8.2f} {spread} |"
        if key in PARTS:
            line += f" wall {statistics.median(one[f'{key} wall'] for one in measured):.2f} |"
        print(line)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(int(sys.argv[2]), int(sys.argv[3]))))
    else:
        numbers = [*map(int, sys.argv[1:])]
        main(*numbers, *(300, 5, 64)[len(numbers) :])
