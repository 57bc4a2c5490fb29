"""The baseline of the sweep benchmarks: the usual training loop, one trial after another.

    python tests/benchmarks/usual_loop.py DATA_DIR [SHARE] [DEVICE]

The loop: torchvision's dataset with ToTensor and Normalize, a shuffling DataLoader without workers,
nn.Sequential, torch.optim with defaults, penalties summed over the parameters by autograd,
`.item()` every step, a validation pass every epoch, MLflow into a SQLite file, torch's default
threads.

Of each trial a SHARE (default 1/9) of one epoch's steps and validation batches is timed and
extrapolated. The smallest, the median and the largest trial are also trained whole, right after,
which shows how accurate that is. DEVICE is cpu (default) or cuda. Loading the dataset and creating
MLflow's database are not counted: a sweep does each once.

The machine must be idle: with a thread on every core, one other busy process makes this loop more
than ten times slower.
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
from fixed_list import create_specs, step_flops
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
    """Trains trials the usual way, on the same rows that harness trains and validates on.

    Use it as a context manager: inside, MLflow's tracking URI, which is global and passed to child
    processes by $MLFLOW_TRACKING_URI, points to a database in a temporary folder.
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
        normalized = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.286,), (0.353,))]
        )
        dataset = torchvision.datasets.FashionMNIST(str(folder), train=True, transform=normalized)
        self.training = Subset(dataset, splits.train.rows.tolist())
        self.validation = Subset(dataset, splits.validation.rows.tolist())
        self._device = device

    def __enter__(self) -> UsualLoop:
        self._uri_before = os.environ.get("MLFLOW_TRACKING_URI")
        self._record = tempfile.TemporaryDirectory()
        record = Path(self._record.name)
        mlflow.set_tracking_uri(f"sqlite:///{record / 'mlflow.db'}")
        # Not set_experiment: it stays in the environment and would outlive the database.
        self._experiment = mlflow.create_experiment("usual-loop", (record / "artifacts").as_uri())
        self.extrapolate(TrialSpec(), 0.05)  # warm-up: imports, threads, the device
        return self

    def __exit__(self, *_: object) -> None:
        mlflow.set_tracking_uri(self._uri_before)  # type: ignore[arg-type]  # None: back to unset
        self._record.cleanup()

    def train(self, spec: TrialSpec) -> float:
        """Return the seconds of the whole trial."""
        return measure_seconds(lambda: self.log(spec, self.run_epochs(spec)))

    def extrapolate(self, spec: TrialSpec, share: float) -> float:
        """Return the seconds of the whole trial, extrapolated from `share` of one epoch.

        Building the network and logging are timed in full.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share: must be above 0 and at most 1, not {share}")
        building = measure_seconds(lambda: UsualTrial(spec, self._device))
        logging = measure_seconds(lambda: self.log(spec, _empty_epochs(spec.epochs)))
        fit = UsualTrial(spec, self._device)
        training, validation = self._loaders(spec)
        one_epoch = _time_pass(fit, training, share, train=True)
        one_epoch += _time_pass(fit, validation, share, train=False)
        return building + logging + spec.epochs * one_epoch

    def run_epochs(self, spec: TrialSpec) -> Iterator[tuple[float, ...]]:
        """Train a trial; yield METRICS after each epoch."""
        fit = UsualTrial(spec, self._device)
        training, validation = self._loaders(spec)
        for _ in range(spec.epochs):
            yield *fit.run(training, train=True), *fit.run(validation, train=False)

    def log(self, spec: TrialSpec, epochs: Iterable[tuple[float, ...]]) -> None:
        """Log one MLflow run; `epochs` yields each epoch's METRICS, in that order."""
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


class UsualTrial:
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
        """Return mean loss and accuracy over the batches, training on them if `train`."""
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
    """Build the network that harness trains, for the options in the fixed list."""
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


def measure_seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _time_pass(fit: UsualTrial, loader: Loader, share: float, train: bool) -> float:
    """Return the seconds of a whole pass, from `share` of its batches after a few warm-up ones."""
    batches = iter(loader)
    fit.run(islice(batches, WARM_BATCHES), train)
    count = max(1, min(round(share * len(loader)), len(loader) - WARM_BATCHES))
    return measure_seconds(lambda: fit.run(islice(batches, count), train)) * len(loader) / count


def _empty_epochs(epochs: int) -> Iterable[tuple[float, ...]]:
    return repeat((0.0,) * len(METRICS), epochs)


def describe_machine(device: str) -> str:
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
    print(describe_machine(device))
    trials = create_specs()
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
