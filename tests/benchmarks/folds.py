"""Benchmark the training time of a study with folds, relative to the same study without.

    python tests/benchmarks/folds.py [ROUNDS] [FOLDS]

A round runs `quickstart --no-confirm` without folds and with FOLDS (default 5), each in a new
folder, once as it is and once with random sampling and no pruning, where both studies train the
same settings for the same epochs. ROUNDS defaults to 3. Printed are Markdown rows: the wall seconds
from the first trained epoch to the last, with minimum and maximum, and the median ratio in the same
round, divided by FOLDS. Both studies train on four fifths of the training examples. No time is
asserted.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FIRST_EPOCH, SEARCH_END = "the first trained epoch", "recording the trials"
VARIANTS: dict[str, tuple[str, ...]] = {
    "quickstart": (),
    "quickstart, random, not pruned": (
        *("--set", 'study.sampler="random"'),
        *("--set", 'study.pruner="none"'),
    ),
}


def measure_training(arguments: tuple[str, ...]) -> float:
    """Run quickstart in a new folder; return the seconds of its training."""
    with tempfile.TemporaryDirectory() as folder:
        command = (sys.executable, "-m", "harness", "run-study", "quickstart", "--no-confirm")
        environment = os.environ | {"HARNESS_TIMINGS": "1"}
        done = subprocess.run(
            [*command, *arguments], cwd=folder, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        (file,) = Path(folder).rglob("timings.json")
        phases = json.loads(file.read_text())["phases"]
        starts = {phase["name"]: phase["start"] for phase in phases}
        return float(starts[SEARCH_END] - starts[FIRST_EPOCH])


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    folds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
    for _ in range(rounds):
        for name, arguments in VARIANTS.items():
            alone = measure_training(arguments)
            folded = measure_training((*arguments, "--set", f"data.folds={folds}"))
            seconds[name].append((alone, folded))
    print(f"| study | without folds | {folds} folds | ratio / {folds} |\n|---|---|---|---|")
    for name, pairs in seconds.items():
        cells = [
            f"{statistics.median(values):.1f} s ({min(values):.1f} to {max(values):.1f})"
            for values in zip(*pairs, strict=True)
        ]
        ratios = [folded / alone / folds for alone, folded in pairs]
        cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"n = {rounds} each, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
