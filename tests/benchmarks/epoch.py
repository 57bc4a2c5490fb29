"""One training epoch of 784-300-100-10 on FashionMNIST: this engine against the usual loop.

    python tests/benchmarks/epoch.py DATA_DIR [ROUNDS]

The usual loop: torchvision's dataset with ToTensor and Normalize, a shuffling DataLoader without
workers, nn.Sequential, torch.optim.Adam as it comes, `.item()` every step. Both at batch 64 on one
thread, alternating, medians and extremes over the rounds.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader, Subset

from harness.data.files import prepare
from harness.data.parts import load_splits
from harness.engine import Resident
from harness.engine.loop import Group
from harness.trial import TrialSpec


def usual_loop(folder: Path, rows: list[int]) -> Callable[[], None]:
    transforms = torchvision.transforms
    normalised = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.286,), (0.353,))]
    )
    dataset = torchvision.datasets.FashionMNIST(str(folder), train=True, transform=normalised)
    loader = DataLoader(Subset(dataset, rows), batch_size=64, shuffle=True)
    net = nn.Sequential(
        *(nn.Flatten(), nn.Linear(784, 300), nn.ReLU()),
        *(nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)),
    )
    optimizer, loss_of = torch.optim.Adam(net.parameters()), nn.CrossEntropyLoss()

    def epoch() -> None:
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_of(net(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()

    return epoch


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main(folder: Path, rounds: int) -> None:
    torch.set_num_threads(1)
    prepared = prepare(
        "fashion-mnist",
        validation=0.1,
        test=0.2,
        split_seed=0,
        normalize=True,
        data_dir=folder,
    )
    splits = load_splits(prepared.training)
    group = Group([TrialSpec(hidden=(300, 100), batch_size=64)], Resident(splits))
    usual = usual_loop(folder, splits.train.rows.tolist())
    epochs = iter(range(1, 10**6))
    group.train_epoch(next(epochs))  # warm
    theirs, ours = [], []
    for _ in range(rounds):
        theirs.append(seconds(usual))
        ours.append(seconds(lambda: group.train_epoch(next(epochs))))
    print(f"{platform.platform()}, Python {platform.python_version()}, torch {torch.__version__}")
    for name, times in (("usual loop", theirs), ("engine", ours)):
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(f"{name:<11} {statistics.median(times):.2f} s ({spread}, n = {rounds})")
    ratios = [one / other for one, other in zip(theirs, ours, strict=True)]
    print(f"ratio       {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
