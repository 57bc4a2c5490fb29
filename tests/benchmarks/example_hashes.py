"""Time to identify the examples of a dataset, and how many near-duplicates there are by chance.

    python tests/benchmarks/example_hashes.py fashion-mnist mnist digits

It needs HARNESS_DATA_DIR, or downloads. Results on one core of an AMD EPYC (Zen 5), n = 1; `near`
is the share of the test images that have a near-duplicate in the training and validation set:

    dataset        examples    identify    compare       files   equal      near
    fashion-mnist    70,000      0.41 s     0.25 s      5.4 MB   0.00%     0.35%
    mnist            70,000      0.61 s     0.49 s      4.2 MB   0.00%     0.06%
    digits            1,797      0.00 s     0.00 s      0.1 MB   0.00%     0.00%
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from harness.data.example_hashes import ExampleSet, compute_near_share, find_equal
from harness.data.prepare import prepare
from harness.test_set.sealed import identify_parts


def measure_dataset(name: str) -> str:
    """Return a line of the table."""
    with tempfile.TemporaryDirectory() as cache:
        prepared = prepare(
            name, validation=0.1, test=0.2, split_seed=0, normalize=True, cache=Path(cache)
        )
        started = time.perf_counter()
        parts = identify_parts(prepared)
        identified = time.perf_counter()
        equal = find_equal(parts.test, parts.training).mean()
        near = compute_near_share(parts.test, parts.training)
        compared = time.perf_counter()
    size = _count_bytes(parts.test) + _count_bytes(parts.training)
    return (
        f"    {name:<14}{parts.test.examples + parts.training.examples:>9,}"
        f"{identified - started:>10.2f} s{compared - identified:>9.2f} s{size / 1e6:>9.1f} MB"
        f"{equal:>8.2%}{near:>10.2%}"
    )


def _count_bytes(examples: ExampleSet) -> int:
    return len(examples.to_bytes())


if __name__ == "__main__":
    np.seterr(all="raise")
    head = ("dataset", "examples", "identify", "compare", "files", "equal", "near")
    print("    {:<14}{:>9}{:>12}{:>11}{:>12}{:>8}{:>10}".format(*head))
    for dataset in sys.argv[1:] or ["digits"]:
        print(measure_dataset(dataset))
