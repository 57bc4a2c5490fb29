"""Benchmark the parts of a training step on FashionMNIST: which part takes which share.

    python tests/benchmarks/kernels.py DATA_DIR [ROUNDS]

Each network trains alone with Adam on one thread. The networks alternate; a round has 40 steps of
each. A part's time in a round is that of the step in which it was fastest, so that other processes
count less, and the whole step's is their sum; printed are medians over the rounds. `rest` is what
no other part contains: activations, the gradients of biases, and Python. The last columns have the
median and the extremes of the whole step, the share of oneDNN's peak that its useful matrix
products reach, and the share that they would reach if the rest of the step took no time.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from epoch import SIZE, matrix_products, measure_seconds
from fixed_list import step_flops
from usual_loop import describe_machine

from harness.data.prepare import prepare
from harness.data.torch_datasets import load_splits
from harness.engine import losses
from harness.engine.cpu_placement import build_group
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.trial_state import TrialState
from harness.trial import TrialSpec

WIDTHS = ((32,), (128,), (300, 100), (1024,))
BATCH_SIZES = (64, 256)
STEPS = 40
PARTS = (
    "gather",
    "forward products",
    "input gradients",
    "weight gradients",
    "loss",
    "optimizer",
)
PRODUCTS = PARTS[1:4]


class PartTimer:
    """Measures the parts of one group's steps."""

    def __init__(self, group: FusedGroup) -> None:
        self.group = group
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._left = 0

    def measure_round(self) -> dict[str, float]:
        """Return the fewest microseconds of each part over STEPS steps, and their sum as `step`."""
        if self._left < STEPS:
            self.group.begin_epoch()
            self._left = self.group.steps
        self._left -= STEPS
        rows = []
        with self._measured_parts():
            for _ in range(STEPS):
                self._seconds = dict.fromkeys(PARTS, 0.0)
                started = time.perf_counter()
                self.group.train_steps(1)
                rest = time.perf_counter() - started - sum(self._seconds.values())
                rows.append(self._seconds | {"rest": rest})
        fewest = {name: 1e6 * min(row[name] for row in rows) for name in rows[0]}
        return fewest | {"step": sum(fewest.values())}

    @contextmanager
    def _measured_parts(self) -> Iterator[None]:
        network: Any = self.group.network
        calls = (
            (self.group._batches, "gather", "gather"),
            (network.matmul, "forward", "forward products"),
            (network.matmul, "forward_activation", "forward products"),
            (network.matmul, "input_gradient", "input gradients"),
            (network.matmul, "weight_gradient", "weight gradients"),
            (losses, "measure_batch", "loss"),
            (losses, "compute_loss_and_gradient", "loss"),
            (self.group.optimizer, "step", "optimizer"),
        )
        before = [getattr(owner, name) for owner, name, _ in calls]
        for (owner, name, part), call in zip(calls, before, strict=True):
            setattr(owner, name, self._measure(part, call))
        yield
        for (owner, name, _), call in zip(calls, before, strict=True):
            setattr(owner, name, call)

    def _measure(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = call(*arguments)
            self._seconds[part] += time.perf_counter() - started
            return result

        return measured


def print_row(spec: TrialSpec, rounds: list[dict[str, float]], peak: float) -> None:
    """Print a row of the Markdown table; `peak` is oneDNN's, in GFLOP/s."""
    median = {name: statistics.median(row[name] for row in rounds) for name in rounds[0]}
    step = median["step"]
    shares = [median[name] / step for name in (*PARTS, "rest")]
    least = step_flops(spec) / peak * 1e-3  # microseconds of the products at the peak
    products = sum(median[name] for name in PRODUCTS)
    steps = [row["step"] for row in rounds]
    cells = [
        f"784-{'-'.join(map(str, spec.hidden))}-10, batch {spec.batch_size}",
        *(f"{share:.0%}" for share in shares),
        f"{step:.0f} us ({min(steps):.0f} to {max(steps):.0f})",
        f"{least / step:.0%}",
        f"{least / products:.0%}",
    ]
    print("| " + " | ".join(cells) + " |")


def main(folder: Path, count: int) -> None:
    torch.set_num_threads(1)
    print(describe_machine("cpu"))
    prepared = prepare(
        "fashion-mnist", validation=0.1, test=0.2, split_seed=0, normalize=True, data_dir=folder
    )
    data = DeviceData(load_splits(prepared.training))
    specs = [TrialSpec(hidden=hidden, batch_size=b) for hidden in WIDTHS for b in BATCH_SIZES]
    timers = [PartTimer(build_group([TrialState.create("", s, data)], data)) for s in specs]
    rounds: list[list[dict[str, float]]] = [[] for _ in specs]
    product, peak = matrix_products()["oneDNN"], 0.0
    for timer in timers:
        timer.measure_round()  # warm
    for _ in range(count):
        for timer, measured in zip(timers, rounds, strict=True):
            measured.append(timer.measure_round())
            seconds = min(measure_seconds(product) for _ in range(3))
            peak = max(peak, 2e-9 * SIZE**3 / seconds)
    print(f"peak of oneDNN: {peak:.0f} GFLOP/s; n = {count} rounds\n")
    columns = ["network", *PARTS, "rest", "step", "share of the peak", "of the products alone"]
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")
    for spec, measured in zip(specs, rounds, strict=True):
        print_row(spec, measured, peak)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 9)
