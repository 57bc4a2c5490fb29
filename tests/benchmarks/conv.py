"""Benchmark `model = "conv"` on one CPU core, with FashionMNIST's 54,000 training images.

    python tests/benchmarks/conv.py DATA_DIR 5

Processor seconds of an epoch by channels, batch size and layout: ROUNDS rounds of 12 steps each,
alternating, extrapolated to an epoch. Processor time hardly depends on other work on the machine.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from usual_loop import describe_machine

from harness.data.prepare import prepare
from harness.data.torch_datasets import load_splits
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.placement import build_group
from harness.engine.trial_state import TrialState
from harness.executors.worker import _keep_freed_memory
from harness.models import conv
from harness.trial import TrialSpec

IMAGES = 1536
"""Of a measurement: 12 steps of 128."""
CASES: tuple[tuple[dict[str, Any], int, bool], ...] = (
    ({"channels": 16}, 128, True),
    ({"channels": 24}, 128, True),
    ({"channels": 32}, 64, True),
    ({"channels": 32}, 128, True),
    ({"channels": 32}, 256, True),
    ({"channels": 32}, 128, False),
    ({"channels": 32, "convs": 1}, 128, True),
    ({"channels": (32, 64, 96)}, 128, True),
)
"""Arguments, batch size, and whether the layout is that of the fast kernels."""


@contextmanager
def use_layout(fast: bool) -> Iterator[None]:
    """Leave images in torch's default layout inside the context, unless `fast`."""
    original = conv._to_channels_last
    if not fast:
        conv._to_channels_last = lambda x: x
    try:
        yield
    finally:
        conv._to_channels_last = original


def measure_epoch(group: FusedGroup, examples: int) -> float:
    """Return the processor seconds of an epoch, from some of its steps."""
    steps = IMAGES // group.layout.batch_size
    group.begin_epoch()
    group.train_steps(1)
    started = time.process_time()
    group.train_steps(steps)
    return (time.process_time() - started) * examples / IMAGES


def main(folder: Path, rounds: int) -> None:
    torch.set_num_threads(1)
    _keep_freed_memory()
    print(describe_machine("cpu"))
    prepared = prepare(
        "fashion-mnist", validation=0.1, test=0.2, split_seed=0, normalize=True, data_dir=folder
    )
    data = DeviceData(load_splits(prepared.training))
    seconds: list[list[float]] = [[] for _ in CASES]
    parameters = []
    for turn in range(rounds):
        for number, (arguments, batch, fast) in enumerate(CASES):
            settings: dict[str, Any] = {"batch_size": batch, "augment": ("flip",)}
            spec = TrialSpec(model="conv", arguments=tuple(sorted(arguments.items())), **settings)
            trial = TrialState.create("", spec, data)
            if not turn:
                parameters.append(trial.parameters)
            with use_layout(fast):
                seconds[number].append(measure_epoch(build_group([trial], data), len(data)))
    for (arguments, batch, fast), count, values in zip(CASES, parameters, seconds, strict=True):
        words = ", ".join(f"{name} {value}" for name, value in arguments.items())
        layout = "" if fast else ", torch's default layout"
        print(
            f"{f'{words}, batch {batch}{layout}':<55} {count:>9,} parameters  "
            f"{statistics.median(values):5.1f} s ({min(values):.1f} to {max(values):.1f})"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
