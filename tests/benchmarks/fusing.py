"""Benchmark fused training of small trials on a CPU core: the measurements behind cost_model.py.

    python tests/benchmarks/fusing.py DATA_DIR

Seconds per trial and step with K = 4 and 8 trials of one shape in a group, and alone, on one
thread; with FashionMNIST's 784 inputs and the digits' 64. Alternating, the best of five turns each.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from usual_loop import describe_machine

from harness.data.prepare import prepare
from harness.data.torch_datasets import load_splits
from harness.engine import cost_model
from harness.engine.cpu_placement import build_group
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.trial_state import TrialState
from harness.trial import TrialSpec

SHAPES = [(32,), (64,), (64, 64), (128,), (128, 128), (128, 64, 32), (300, 100)]
SIZES, TURNS, STEPS = (1, 4, 8), 5, 160


def create_group(spec: TrialSpec, size: int, data: DeviceData) -> FusedGroup:
    trials = [TrialState.create(str(seed), replace(spec, seed=seed), data) for seed in range(size)]
    return build_group(trials, data)


def measure_seconds(group: FusedGroup, steps: int) -> float:
    group.begin_epoch()
    steps = min(steps, group.steps)
    started = time.perf_counter()
    group.train_steps(steps)
    return (time.perf_counter() - started) / steps / group.layout.slots


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    print(describe_machine("cpu"))
    head = ("shape", 14), ("batch", 6), ("MFLOP", 8), ("alone, us", 11), ("K = 4", 8), ("K = 8", 8)
    print(f"{'data':<14}" + "".join(f"{name:>{width}}" for name, width in head))
    for name in ("fashion-mnist", "digits"):
        prepared = prepare(
            name, validation=0.1, test=0.2, split_seed=0, normalize=True, data_dir=folder
        )
        data = DeviceData(load_splits(prepared.training))
        for hidden in SHAPES:
            for batch in (32, 64, 128):
                spec = TrialSpec(hidden=hidden, batch_size=batch)
                groups = {size: create_group(spec, size, data) for size in SIZES}
                best = dict.fromkeys(SIZES, float("inf"))
                for _ in range(TURNS):
                    for size, group in groups.items():
                        best[size] = min(best[size], measure_seconds(group, STEPS // size))
                flops = cost_model.count_step_flops(hidden, batch, data.inputs, data.classes) / 1e6
                gains = "".join(f"{best[1] / best[size]:>7.2f}x" for size in SIZES[1:])
                shape = "-".join(map(str, hidden))
                print(f"{name:<14}{shape:>14}{batch:>6}{flops:>8.1f}{best[1] * 1e6:>11.0f}{gains}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
