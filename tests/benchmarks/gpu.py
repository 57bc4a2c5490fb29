"""Benchmark 50 trials x 12 epochs of FashionMNIST on a CUDA device: harness and the usual loop.

    python tests/benchmarks/gpu.py DATA_DIR [ROUNDS]

harness trains the trials of fixed_list.py through the real driver, with MLflow in a new SQLite
database and no pruning. It is timed from the first submission to the last trial's end, including
the capture of every group. The usual loop of usual_loop.py has model and batches on the device; it
is extrapolated from a hundredth of an epoch of each trial. Both alternate; printed are medians with
minimum and maximum. Run tests/engine/test_cuda.py first: it checks the device's results.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from fixed_list import create_specs, step_flops
from sweep import print_row, run_command
from usual_loop import UsualLoop, describe_machine

TRIALS, EPOCHS = 50, 12
SHARE = 1 / 100


def main(folder: Path, rounds: int) -> None:
    if not torch.cuda.is_available():
        sys.exit("gpu.py: no CUDA device found; use sweep.py for a CPU")
    print(describe_machine("cuda"), flush=True)
    trials = create_specs(TRIALS, epochs=EPOCHS)
    usual, ours = [], []
    for index in range(rounds):
        ours.append(run_command(folder, TRIALS, EPOCHS, "gpu"))
        with UsualLoop(folder, "cuda") as loop:
            usual.append(sum(loop.extrapolate(spec, SHARE) for spec in trials))
        print(f"round {index + 1}: {usual[-1]:.1f} s against {ours[-1]['sweep']:.1f} s", flush=True)
    print_row("usual loop, extrapolated", usual)
    print_row("ours, first submit to last tell", [one["sweep"] for one in ours])
    print_row("ours, the whole command", [one["command"] for one in ours])
    ratios = [base / one["sweep"] for base, one in zip(usual, ours, strict=True)]
    print_row("usual loop / our sweep", ratios, "x")
    work = sum(step_flops(spec) * (54_000 // spec.batch_size) * EPOCHS for spec in trials)
    print_row("useful work a second", [1e-12 * work / one["sweep"] for one in ours], "TFLOP")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)
