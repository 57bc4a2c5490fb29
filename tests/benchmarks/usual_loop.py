"""The baseline of the sweep benchmarks: the coursework loop, one trial of the fixed list at a time.

    python tests/benchmarks/usual_loop.py DATA_DIR [SHARE] [DEVICE]

The loop: torchvision's dataset with ToTensor and Normalize, a shuffling DataLoader without workers,
nn.Sequential, torch.optim as it comes, penalties summed over the parameters by autograd, `.item()`
every step, a validation pass every epoch, MLflow into a SQLite file, torch's default threads.

Of each trial a SHARE (default 1/9) of one epoch's steps and validation batches is timed and
extrapolated; the smallest, the median and the largest are trained whole too, right after, which
shows how far to trust that. DEVICE is cpu (default) or cuda. Neither the time to load the dataset
nor that to create MLflow's database is counted: a sweep pays them once.

The machine must be idle: with a thread on every core, one other busy process makes this loop ten
times slower and more.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import islice, repeat
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

import mlflow
import torch
import torchvision
from fixed_list import specs, step_flops
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from harness.data.prepare import prepare
from harness.data.torch_datasets import load_splits
from harness.trial import TrialSpec

WARM_BATCHES = 3
METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}

Loader = DataLoader[tuple[Tensor, Tensor]]


class UsualLoop:
    """Trains trials the usual way, on the very rows that the harness trains and validates on.

    Use it as a context: MLflow's tracking URI, which is global and goes to child processes by
    $MLFLOW_TRACKING_URI, points to a database in a temporary folder for that long.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        prepared = prepare(
            "fashion-mnist",
            validation=0.1,
            test=0.2,
            split_seed=0,
            normalize=True,
            data_dir=folder,
        )
        self.splits = splits = load_splits(prepared.training)
        transforms = torchvision.transforms
        normalised = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.286,), (0.353,))]
        )
        dataset = torchvision.datasets.FashionMNIST(str(folder), train=True, transform=normalised)
        self.training = Subset(dataset, splits.train.rows.tolist())
        self.validation = Subset(dataset, splits.validation.rows.tolist())
        self._device = device

    def __enter__(self) -> UsualLoop:
        self._uri_before = os.environ.get("MLFLOW_TRACKING_URI")
        self._record = tempfile.TemporaryDirectory()
        record = Path(self._record.name)
        mlflow.set_tracking_uri(f"sqlite:///{record / 'mlflow.db'}")
        # Not set_experiment: that is kept in the environment, where it would outlive the database.
        self._experiment = mlflow.create_experiment("usual-loop", (record / "artifacts").as_uri())
        self.extrapolate(TrialSpec(), 0.05)  # warm: imports, threads, the device
        return self

    def __exit__(self, *_: object) -> None:
        mlflow.set_tracking_uri(self._uri_before)  # type: ignore[arg-type]  # None: back to unset
        self._record.cleanup()

    def train(self, spec: TrialSpec) -> float:
        """Seconds of the whole trial."""
        return seconds(lambda: self._log(spec, self._epochs(spec)))

    def extrapolate(self, spec: TrialSpec, share: float) -> float:
        """Seconds of the whole trial, from `share` of one epoch; building and logging are timed
        in full."""
        if not 0 < share <= 1:
            raise ValueError(f"share: must be above 0 and at most 1, not {share}")
        building = seconds(lambda: Fit(spec, self._device))
        logging = seconds(lambda: self._log(spec, _nothing(spec.epochs)))
        fit = Fit(spec, self._device)
        training, validation = self._loaders(spec)
        one_epoch = _part(fit, training, share, train=True)
        one_epoch += _part(fit, validation, share, train=False)
        return building + logging + spec.epochs * one_epoch

    def _epochs(self, spec: TrialSpec) -> Iterator[tuple[float, ...]]:
        fit = Fit(spec, self._device)
        training, validation = self._loaders(spec)
        for _ in range(spec.epochs):
            yield *fit.run(training, train=True), *fit.run(validation, train=False)

    def _log(self, spec: TrialSpec, epochs: Iterable[tuple[float, ...]]) -> None:
        """One MLflow run; `epochs` gives each epoch's METRICS, in that order."""
        with mlflow.start_run(experiment_id=self._experiment, run_name=spec.describe()):
            mlflow.log_params(spec.to_dict())
            for epoch, values in enumerate(epochs, 1):
                for name, value in zip(METRICS, values, strict=True):
                    mlflow.log_metric(name, value, step=epoch)

    def _loaders(self, spec: TrialSpec) -> tuple[Loader, Loader]:
        return (
            DataLoader(self.training, batch_size=spec.batch_size, shuffle=True),
            DataLoader(self.validation, batch_size=spec.batch_size),
        )


class Fit:
    """One trial's network and optimizer."""

    def __init__(self, spec: TrialSpec, device: str) -> None:
        torch.manual_seed(spec.seed)
        self._spec, self._device = spec, device
        self._net = network(spec).to(device)
        self._loss_of = nn.CrossEntropyLoss()
        parameters = self._net.parameters()
        self._optimizer: torch.optim.Optimizer
        if spec.optimizer == "adam":
            self._optimizer = torch.optim.Adam(parameters, lr=spec.learning_rate)
        else:
            self._optimizer = torch.optim.SGD(
                parameters, lr=spec.learning_rate, momentum=spec.momentum
            )

    def run(self, batches: Iterable[tuple[Tensor, Tensor]], train: bool) -> tuple[float, float]:
        """Mean loss and accuracy over the batches, training on them or only looking."""
        self._net.train(train)
        total, correct, examples = 0.0, 0.0, 0
        with torch.set_grad_enabled(train):
            for images, labels in batches:
                x, y = images.to(self._device), labels.to(self._device)
                logits = self._net(x)
                loss = self._loss_of(logits, y)
                if train:
                    self._step(loss)
                total += loss.item() * len(y)
                correct += (logits.argmax(1) == y).sum().item()
                examples += len(y)
        return total / examples, correct / examples

    def _step(self, loss: Tensor) -> None:
        spec, net = self._spec, self._net
        if spec.l1:
            loss = loss + spec.l1 * sum(p.abs().sum() for p in net.parameters())
        if spec.l2:
            loss = loss + spec.l2 * sum(p.pow(2).sum() for p in net.parameters())
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()


def network(spec: TrialSpec, inputs: int = 784, classes: int = 10) -> nn.Sequential:
    """The network that the harness trains, as far as the fixed list goes."""
    *biases, last_bias = spec.layer_biases
    layers: list[nn.Module] = [nn.Flatten()]
    for width, bias in zip(spec.hidden, biases, strict=True):
        layers.append(nn.Linear(inputs, width, bias=bias))
        if spec.batch_norm == "before":
            layers.append(nn.BatchNorm1d(width))
        layers.append(ACTIVATIONS[spec.activation]())
        if spec.batch_norm == "after":
            layers.append(nn.BatchNorm1d(width))
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes, bias=last_bias))


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _part(fit: Fit, loader: Loader, share: float, train: bool) -> float:
    """Seconds of a whole pass, from `share` of its batches after a few to warm up."""
    batches = iter(loader)
    fit.run(islice(batches, WARM_BATCHES), train)
    count = max(1, min(round(share * len(loader)), len(loader) - WARM_BATCHES))
    return seconds(lambda: fit.run(islice(batches, count), train)) * len(loader) / count


def _nothing(epochs: int) -> Iterable[tuple[float, ...]]:
    return repeat((0.0,) * len(METRICS), epochs)


def machine(device: str) -> str:
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    gpu = f", {torch.cuda.get_device_name()}" if device == "cuda" else ""
    return (
        f"{name}, {os.cpu_count()} cores{gpu}, {torch.get_num_threads()} threads\n"
        f"{platform.platform()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}, mlflow {mlflow.__version__}"
    )


def main(folder: Path, share: Fraction, device: str) -> None:
    print(machine(device))
    trials = specs()
    by_work = sorted(trials, key=step_flops)
    whole = (by_work[0], by_work[len(by_work) // 2], by_work[-1])
    total = 0.0
    with UsualLoop(folder, device) as loop:
        for spec in trials:
            guess = loop.extrapolate(spec, float(share))
            total += guess
            print(f"trial {spec.seed:>2}  {guess:7.2f} s  {spec.describe()}", flush=True)
            if spec in whole:
                measured = loop.train(spec)
                ratio = f"{measured / guess:.2f} of the extrapolation"
                print(f"   whole  {measured:7.2f} s  {ratio}", flush=True)
    print(f"sum       {total:7.2f} s  {len(trials)} trials, extrapolated from {share} of an epoch")


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv))
    main(Path(sys.argv[1]), Fraction(arguments.get(2, "1/9")), arguments.get(3, "cpu"))
