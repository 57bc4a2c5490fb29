"""Benchmark one training epoch of 784-300-100-10 on FashionMNIST: the engine and the usual loop.

    python tests/benchmarks/epoch.py DATA_DIR [ROUNDS]

The loop of usual_loop.py and the engine alternate, both at batch 64 with Adam on one thread.
Printed are medians and extremes over the rounds. The engine's share of the peak counts only the
useful matrix products (72 MFLOP a step). The peak is the fastest product of two 1024 x 1024
matrices by torch.mm and oneDNN in the same rounds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from fixed_list import step_flops
from torch.utils.data import DataLoader
from usual_loop import UsualLoop, UsualTrial, describe_machine

from harness.engine.cpu_placement import build_group
from harness.engine.device_data import DeviceData
from harness.engine.trial_state import TrialState
from harness.trial import TrialSpec

SPEC = TrialSpec(hidden=(300, 100), batch_size=64)
SIZE = 1024


def matrix_products() -> dict[str, Callable[[], object]]:
    """Return torch's two ways to multiply matrices on a CPU."""
    a, b, out = (torch.randn(SIZE, SIZE) for _ in range(3))
    linear = torch.ops.mkldnn._linear_pointwise.default
    return {
        "torch.mm": lambda: torch.mm(a, b, out=out),
        "oneDNN": lambda: linear(a, b, None, "none", [], ""),
    }


def measure_seconds(run: Callable[[], object], times: int = 1) -> float:
    started = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - started) / times


def print_row(name: str, values: list[float], unit: str) -> None:
    spread = f"({min(values):.2f} to {max(values):.2f}, n = {len(values)})"
    print(f"{name:<34} {statistics.median(values):7.2f} {unit:<8} {spread}")


def main(folder: Path, rounds: int) -> None:
    torch.set_num_threads(1)
    print(describe_machine("cpu"))
    loop, fit = UsualLoop(folder), UsualTrial(SPEC, "cpu")
    data = DeviceData(loop.splits)
    group = build_group([TrialState.create("", SPEC, data)], data)
    loader = DataLoader(loop.training, batch_size=SPEC.batch_size, shuffle=True)
    group.train_epoch()  # warm
    usual, ours = [], []
    peaks: dict[str, list[float]] = {name: [] for name in matrix_products()}
    for _ in range(rounds):
        usual.append(measure_seconds(lambda: fit.run(loader, train=True)))
        ours.append(measure_seconds(group.train_epoch))
        for name, product in matrix_products().items():
            peaks[name].append(2e-9 * SIZE**3 / measure_seconds(product, times=20))
    print_row("usual loop", usual, "s")
    print_row("engine", ours, "s")
    print_row("ratio", [one / two for one, two in zip(usual, ours, strict=True)], "x")
    rates = [1e-9 * group.steps * step_flops(SPEC) / time for time in ours]
    print_row("engine", rates, "GFLOP/s")
    for name, measured in peaks.items():
        print_row(f"peak of {name}", measured, "GFLOP/s")
        print_row(f"engine / peak of {name}", [100 * rate / max(measured) for rate in rates], "%")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
