"""On a CUDA device: 50 trials x 12 epochs of FashionMNIST, against the usual loop on the same one.

    python tests/benchmarks/gpu.py DATA_DIR [ROUNDS]

The trials of fixed_list.py through the real driver with MLflow in a new SQLite database, no
pruning, timed from the first submission to the last trial told, the capture of every program in it;
and the usual loop of usual_loop.py with model and batches on the device, extrapolated from a
hundredth of an epoch of each trial. Both alternate; medians with the least and the most. Run the
tests of tests/engine/test_cuda.py first: they hold the device's results to autograd.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from fixed_list import specs, step_flops
from sweep import show, whole_command
from usual_loop import UsualLoop, machine

TRIALS, EPOCHS = 50, 12
SHARE = 1 / 100


def main(folder: Path, rounds: int) -> None:
    if not torch.cuda.is_available():
        sys.exit("gpu.py: no CUDA device was found; sweep.py measures on a CPU")
    print(machine("cuda"), flush=True)
    trials = specs(TRIALS, epochs=EPOCHS)
    usual, ours = [], []
    for index in range(rounds):
        ours.append(whole_command(folder, TRIALS, EPOCHS, "gpu"))
        with UsualLoop(folder, "cuda") as loop:
            usual.append(sum(loop.extrapolate(spec, SHARE) for spec in trials))
        print(f"round {index + 1}: {usual[-1]:.1f} s against {ours[-1]['sweep']:.1f} s", flush=True)
    show("usual loop, extrapolated", usual)
    show("ours, first submit to last tell", [one["sweep"] for one in ours])
    show("ours, the whole command", [one["command"] for one in ours])
    ratios = [base / one["sweep"] for base, one in zip(usual, ours, strict=True)]
    show("usual loop / our sweep", ratios, "x")
    work = sum(step_flops(spec) * (54_000 // spec.batch_size) * EPOCHS for spec in trials)
    show("useful work a second", [1e-12 * work / one["sweep"] for one in ours], "TFLOP")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)
