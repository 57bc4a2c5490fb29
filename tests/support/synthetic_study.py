"""Synthetic studies of up to thousands of trials, for tests of reports and plots.

Settings are sampled from a real search space and curves saturate as those of FashionMNIST do. The
records are consistent: a confusion matrix adds up to its accuracy, and an epoch ends while its
worker is busy. The same arguments give the same study.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.data_quality import data_quality_to_facts
from harness.config.loader import load
from harness.data.leakage import DataQuality, Duplicates, SplitContents
from harness.results import EpochMetrics, TrialFailure, TrialResult
from harness.tracking.base import Tracker
from harness.tracking.test_reading import TestReading
from harness.tracking.types import RunRecord, State, StudyRecord, StudyRun
from harness.trial import Trial, TrialSpec

FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
ALIKE = {
    ("Shirt", "T-shirt/top"): 30,
    ("Shirt", "Pullover"): 16,
    ("Shirt", "Coat"): 14,
    ("Pullover", "Coat"): 18,
    ("Dress", "Coat"): 6,
    ("Shirt", "Dress"): 6,
    ("Dress", "T-shirt/top"): 5,
    ("Sneaker", "Ankle boot"): 8,
    ("Sandal", "Sneaker"): 6,
}
"""Relative frequency with which two classes are confused; 1 for all other pairs."""
SPACE = (
    "space.depth={low=1, high=4}",
    "space.width={low=32, high=1024, log=true}",
    "space.learning_rate={low=1e-4, high=1e-1, log=true}",
    'space.batch_norm=["none", "before", "after"]',
    'space.optimizer=["sgd", "adam", "adamw"]',
    "space.l1={low=1e-7, high=1e-3, log=true, zero=0.5}",
    "space.l2={low=1e-7, high=1e-3, log=true, zero=0.5}",
)
BEST_RATES = {"sgd": 3e-2, "adam": 1.5e-3, "adamw": 2e-3}
INPUTS = 784
SIZES = {"train": 54_000, "validation": 6_000, "test": 10_000}
PRUNED, FAILED, INTERRUPTED = 0.6, 0.02, 0.01
RETRIED_AFTER = 9
"""Distance in trial numbers between an interrupted trial and its successor."""
STARTED = 1.75e9

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class RandomTrial:
    """The methods of an Optuna trial that a search space calls."""

    rng: np.random.Generator

    def suggest_categorical(self, _: str, values: Sequence[Any]) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def suggest_int(self, name: str, low: int, high: int, log: bool = False) -> int:
        return min(high, int(self.suggest_float(name, low, high + 1, log)))

    def suggest_float(self, _: str, low: float, high: float, log: bool = False) -> float:
        share = float(self.rng.random())
        return low * (high / low) ** share if log else low + (high - low) * share


def make_study(
    trials: int,
    *,
    epochs: int = 12,
    classes: Sequence[str] = FASHION,
    seed: int = 0,
    name: str = "synthetic",
) -> StudyRun:
    """Make a finished study: most trials pruned, few failed or interrupted, the champion tested.

    A run has only the metrics of its best epoch.
    """
    rng = np.random.default_rng(seed)
    config = load(
        "fashion-mnist", [*SPACE, f"train.epochs={epochs}"], {"name": name, "trials": trials}
    )
    trial: Any = RandomTrial(rng)
    specs = []
    for number in range(trials):  # like a sampler that learns: bad settings become rarer
        candidates = [
            config.space.suggest(trial, config.get_fixed_fields())
            for _ in range(1 + min(2, number // 9))
        ]
        specs.append(max(candidates, key=compute_promise))
    interrupted = _choose_interrupted(rng, trials)
    for number in interrupted:
        specs[number + RETRIED_AFTER] = specs[number]
    states = _choose_states(rng, specs, interrupted)
    likeness = _compute_likeness(classes)

    uid, workers = rng.bytes(6).hex(), int(rng.integers(2, 9))
    free = [(STARTED + 3, worker) for worker in range(workers)]
    runs = []
    for number, (spec, state) in enumerate(zip(specs, states, strict=True)):
        started, worker = heapq.heappop(free)
        run = RunRecord(
            uid=f"{uid}/{number}",
            run_id=rng.bytes(16).hex(),
            number=number,
            state=state,
            spec=spec,
            worker=f"worker {worker}",
            started=started,
        )
        run = _train(rng, run, epochs, likeness)
        heapq.heappush(free, (run.ended or started, worker))
        runs.append(run)
    study = StudyRun(
        name=name,
        uid=uid,
        run_id=rng.bytes(16).hex(),
        experiment_id="1",
        facts={
            "device": f"CPU, {workers} cores",
            "workers": str(workers),
            "versions": "harness 0.1.0, torch 2.15.0, mlflow 3.17.2, optuna 5.0.0, numpy 2.3.0, "
            "Python 3.11.9",
            "platform": "Linux x86_64",
            "git_commit": rng.bytes(20).hex(),
            "data": f"fashion-mnist ({', '.join(f'{n:,} {part}' for part, n in SIZES.items())})",
            "split_hash": rng.bytes(32).hex(),
            "command": f"harness run-study fashion-mnist --trials={trials}",
            **data_quality_to_facts(make_data_quality(len(classes))),
        },
        classes=tuple(classes),
        definition=config.definition(),
        readings=(),
        started=STARTED,
        ended=max((run.ended or 0 for run in runs), default=STARTED) + 2,
        trials=tuple(runs),
    )
    ranked = study.rank_trials()
    readings = (_make_reading(rng, ranked[0], study.ended or 0, likeness),) if ranked else ()
    return replace(study, readings=readings)


def record_study(study: StudyRun, tracker: Tracker, *, is_finished: bool = True) -> None:
    """Record a study as the driver does. The store sets the times of its runs."""
    tracker.open_study(
        StudyRecord(
            name=study.name,
            uid=study.uid,
            text=f'[study]\nname = "{study.name}"\n',
            definition=study.definition,
            facts=study.facts,
            dataset=study.definition["data"]["name"],
            dataset_digest=study.facts["split_hash"],
            dataset_source="made up",
            sizes=SIZES,
            classes=study.classes,
            validation_labels=_make_labels(study),
        )
    )
    for run in study.trials:
        trial = Trial(number=run.number, uid=run.uid, spec=run.spec)
        tracker.start_trial(trial)
        if run.epochs:
            tracker.log_epochs(run.uid, run.epochs)
        tracker.finish_trial(
            trial,
            run.state,
            worker=run.worker,
            epochs=run.epochs,
            outcome=_make_outcome(run),
            reason=run.reason,
            successor=run.number + RETRIED_AFTER if run.state == "INTERRUPTED" else None,
        )
    for reading in study.readings:
        tracker.log_test(study.uid, reading)
    if is_finished:
        tracker.close_study(study.uid, "COMPLETE")


def make_data_quality(classes: int) -> DataQuality:
    """Make splits of slightly unequal classes, with some examples in several of them."""
    parts = {}
    for name, size in SIZES.items():
        shares = np.linspace(1.2, 0.8, classes)
        counts = np.rint(size * shares / shares.sum()).astype(int)
        counts[0] += size - counts.sum()
        parts[name] = SplitContents(
            size, tuple(counts.tolist()), hashlib.sha256(name.encode()).hexdigest()
        )
    duplicates = {
        "train_test": Duplicates(12, 3),
        "validation_test": Duplicates(1, 0),
        "train_validation": Duplicates(0, 0),
        "train": Duplicates(43, 5),
    }
    return DataQuality(parts, duplicates)


def compute_promise(spec: TrialSpec) -> float:
    """Return the validation accuracy that a trial approaches, without noise."""
    rate = _log_relative_rate(spec)
    size = sum(math.log2(width) for width in spec.hidden) / 24
    height = 0.906 - 0.014 * rate**2 - 0.09 * max(0.0, rate - 0.9) ** 2 - 0.012 * (size - 1) ** 2
    height += {"none": 0.0, "before": 0.006, "after": 0.004}[spec.batch_norm]
    height -= 0.06 * min(1.0, 1.5e3 * spec.l1) + 0.015 * min(1.0, 1e3 * spec.l2)
    return max(0.12, height)


def count_parameters(spec: TrialSpec, classes: int) -> int:
    widths = (INPUTS, *spec.hidden, classes)
    count = sum(fan_in * fan_out for fan_in, fan_out in pairwise(widths))
    count += sum(w for w, bias in zip(widths[1:], spec.layer_biases, strict=True) if bias)
    return count + (2 * sum(spec.hidden) if spec.batch_norm != "none" else 0)


def _log_relative_rate(spec: TrialSpec) -> float:
    """Return log10 of the ratio to the optimizer's best learning rate."""
    return math.log10(spec.learning_rate / BEST_RATES[spec.optimizer])


def _choose_interrupted(rng: np.random.Generator, trials: int) -> list[int]:
    """Return trial numbers, ascending, so that an interrupted successor passes its settings on."""
    count = int(INTERRUPTED * trials)
    if not count:
        return []
    return sorted(rng.choice(trials - RETRIED_AFTER, count, replace=False).tolist())


def _choose_states(
    rng: np.random.Generator, specs: Sequence[TrialSpec], interrupted: Sequence[int]
) -> list[State]:
    """Choose a state for each trial: the worst are mostly pruned, the best is always complete."""
    states: list[State] = ["COMPLETE"] * len(specs)
    for number in interrupted:
        states[number] = "INTERRUPTED"
    order = sorted(
        (number for number, state in enumerate(states) if state == "COMPLETE"),
        key=lambda number: compute_promise(specs[number]) + 0.004 * rng.standard_normal(),
    )
    for number in rng.choice(order[: len(order) // 2 + 1], int(FAILED * len(specs)), replace=False):
        states[number] = "FAILED"
    unfailed = [number for number in order if states[number] == "COMPLETE"]
    for number in unfailed[: int(PRUNED * len(specs))]:
        states[number] = "PRUNED"
    return states


def _train(rng: np.random.Generator, run: RunRecord, longest: int, likeness: Array) -> RunRecord:
    """Return the run with its curves, its end time and its results."""
    spec, size = run.spec, count_parameters(run.spec, len(likeness))
    warmup = longest // 4  # epochs without pruning
    epochs, reason = longest, ""
    if run.state == "PRUNED":
        late = rng.random() ** 2  # most are stopped early
        epochs = max(1, min(longest - 1, warmup + 1 + int(late * (longest - warmup - 1))))
    elif run.state != "COMPLETE":
        epochs = int(rng.integers(longest))
        reason = f"{run.worker} died (killed by SIGKILL)"
        if run.state == "FAILED" and rng.random() < 0.8:
            reason = f"diverged: train/loss is nan in epoch {epochs + 1}"
    curve = _make_curve(rng, spec, size, run.started, epochs)
    ended = (curve[-1].time if curve else run.started) + 0.05
    run = replace(run, epochs=curve, ended=ended, reason=reason)
    if run.state not in ("COMPLETE", "PRUNED"):
        return run
    best = max(curve, key=lambda epoch: epoch.val_accuracy)
    return replace(
        run,
        best=best,
        metrics={"best/val_accuracy": best.val_accuracy, "best/val_loss": best.val_loss},
        parameters=size,
        confusion=_sample_confusion(rng, likeness, SIZES["validation"], best.val_accuracy),
    )


def _make_curve(
    rng: np.random.Generator, spec: TrialSpec, size: int, started: float, epochs: int
) -> tuple[EpochMetrics, ...]:
    """Make a saturating curve: larger rates give deeper dips, larger networks overfit more."""
    epoch, noise = np.arange(1, epochs + 1), rng.standard_normal((5, epochs))
    progress, rate = epoch / spec.epochs, _log_relative_rate(spec)
    cosine = (1 + np.cos(np.pi * progress)) / 2
    height = compute_promise(spec) + 0.002 * rng.standard_normal()
    speed = 1.6 + 0.5 * max(-1.5, min(0.8, rate)) + 0.3 * (spec.batch_norm != "none")
    reached = height - (height - 0.1) * np.exp(-speed * np.sqrt(epoch))
    dips = (0.008 * 10 ** min(0.5, rate)) * (0.05 + cosine) * np.abs(noise[0])
    fit = progress * 0.012 * math.log10(size / 1e4) / (1 + 5e3 * spec.l1 + 1e3 * spec.l2)

    images = SIZES["validation"]
    val_accuracy = reached - dips + 0.0015 * noise[3]
    val_accuracy = np.rint(val_accuracy.clip(0.08, 0.99) * images) / images
    train_accuracy = (reached + 2 * fit - 0.02 / epoch + 0.001 * noise[1]).clip(0.08, 0.9995)
    val_loss = 2.7 * (1 - val_accuracy) * (1 + 6 * fit) + 0.004 * np.abs(noise[2])
    train_loss = 2.7 * (1 - train_accuracy)
    penalty = size * (0.02 * spec.l1 + 8e-4 * spec.l2) * (1 - 0.3 * progress)
    seconds = (0.12 + 2e-6 * size) * np.exp(0.04 * noise[4])
    columns = {
        "epoch": epoch,
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "penalty": penalty,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
        "learning_rate": spec.learning_rate * cosine,
        "seconds": seconds,
        "time": started + np.cumsum(seconds),
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return tuple(EpochMetrics(**dict(zip(columns, row, strict=True))) for row in rows)


def _compute_likeness(classes: Sequence[str]) -> Array:
    """Return the relative frequency of each confusion, [true, predicted], zero on the diagonal."""
    likeness = np.ones((len(classes), len(classes)))
    for row, name in enumerate(classes):
        for column, other in enumerate(classes):
            likeness[row, column] = ALIKE.get((name, other), ALIKE.get((other, name), 1))
    np.fill_diagonal(likeness, 0)
    return likeness


def _sample_confusion(
    rng: np.random.Generator, likeness: Array, images: int, accuracy: float
) -> tuple[tuple[int, ...], ...]:
    """Return a confusion matrix of equally large classes with exactly this accuracy."""
    classes = len(likeness)
    true = np.arange(images) % classes
    wrong = images - round(accuracy * images)
    # The hardest images: weighted sampling without replacement.
    hardness = rng.standard_exponential(images) / likeness.sum(1)[true]
    missed = np.bincount(true[np.argpartition(hardness, wrong - 1)[:wrong]], minlength=classes)
    cells = rng.multinomial(missed, likeness / likeness.sum(1, keepdims=True))
    cells[np.diag_indices(classes)] = np.bincount(true, minlength=classes) - missed
    return tuple(map(tuple, cells.tolist()))


def _make_reading(
    rng: np.random.Generator, champion: RunRecord, time: float, likeness: Array
) -> TestReading:
    """Make the test reading. It is lower than validation, which has selection bias."""
    assert champion.best is not None
    accuracy = champion.best.val_accuracy - 0.008
    return TestReading(
        selection=rng.bytes(32).hex(),
        number=champion.number,
        time=time,
        loss=champion.best.val_loss + 0.02,
        confusion=_sample_confusion(rng, likeness, SIZES["test"], accuracy),
    )


def _make_labels(study: StudyRun) -> bytes:
    """Return sorted labels with the class sizes of the confusion matrices."""
    confusion = next((run.confusion for run in study.trials if run.confusion), ())
    return bytes(true for true, row in enumerate(confusion) for _ in range(sum(row)))


def _make_outcome(run: RunRecord) -> TrialResult | TrialFailure | None:
    if run.best is None:
        return TrialFailure(reason=run.reason) if run.state == "FAILED" else None
    classes = range(len(run.confusion))
    return TrialResult(
        best=run.best,
        epochs=len(run.epochs),
        stopped="pruned" if run.state == "PRUNED" else "finished",
        parameters=run.parameters,
        seconds=sum(epoch.seconds for epoch in run.epochs),
        confusion=run.confusion,
        predictions=bytes(
            predicted
            for row in run.confusion
            for predicted in classes
            for _ in range(row[predicted])
        ),
        weights=b"",
    )
