"""A study that never ran: trials by the thousand, for what shows them.

Settings come from a real space, curves saturate as FashionMNIST's do, and what belongs together
fits: a confusion matrix adds up to its accuracy, an epoch ends while its worker is at it. The same
arguments give the same study.
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
from harness.tracking.types import RunRecord, State, StudyRecord, StudyRun, TestReading
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
"""How often two classes are taken for one another, either way; all others 1."""
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
"""So many trials lie between one that was interrupted and its successor."""
STARTED = 1.75e9

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Dice:
    """As much of an Optuna trial as a space asks for."""

    rng: np.random.Generator

    def suggest_categorical(self, _: str, values: Sequence[Any]) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def suggest_int(self, name: str, low: int, high: int, log: bool = False) -> int:
        return min(high, int(self.suggest_float(name, low, high + 1, log)))

    def suggest_float(self, _: str, low: float, high: float, log: bool = False) -> float:
        share = float(self.rng.random())
        return low * (high / low) ** share if log else low + (high - low) * share


def study(
    trials: int,
    *,
    epochs: int = 12,
    classes: Sequence[str] = FASHION,
    seed: int = 0,
    name: str = "synthetic",
) -> StudyRun:
    """A study that ended: most trials pruned, few failed or interrupted, the champion tested.

    Of a run's metrics it has those of its best epoch alone.
    """
    rng = np.random.default_rng(seed)
    config = load(
        "fashion-mnist", [*SPACE, f"train.epochs={epochs}"], {"name": name, "trials": trials}
    )
    dice: Any = Dice(rng)
    specs = []
    for number in range(trials):  # like a sampler that learns: bad settings become rarer
        drawn = [
            config.space.suggest(dice, config.get_fixed_fields())
            for _ in range(1 + min(2, number // 9))
        ]
        specs.append(max(drawn, key=promise))
    broken = _interrupted(rng, trials)
    for number in broken:
        specs[number + RETRIED_AFTER] = specs[number]
    states = _states(rng, specs, broken)
    confused = _likeness(classes)

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
        run = _trained(rng, run, epochs, confused)
        heapq.heappush(free, (run.ended or started, worker))
        runs.append(run)
    made = StudyRun(
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
            **data_quality_to_facts(fairness(len(classes))),
        },
        classes=tuple(classes),
        definition=config.definition(),
        readings=(),
        started=STARTED,
        ended=max((run.ended or 0 for run in runs), default=STARTED) + 2,
        trials=tuple(runs),
    )
    ranked = made.rank_trials()
    readings = (_reading(rng, ranked[0], made.ended or 0, confused),) if ranked else ()
    return replace(made, readings=readings)


def write(made: StudyRun, tracker: Tracker) -> None:
    """Record a study as the driver would have; when its runs began and ended is the store's."""
    tracker.open_study(
        StudyRecord(
            name=made.name,
            uid=made.uid,
            text=f'[study]\nname = "{made.name}"\n',
            definition=made.definition,
            facts=made.facts,
            dataset=made.definition["data"]["name"],
            dataset_digest=made.facts["split_hash"],
            dataset_source="made up",
            sizes=SIZES,
            classes=made.classes,
            validation_labels=_labels(made),
        )
    )
    for run in made.trials:
        trial = Trial(number=run.number, uid=run.uid, spec=run.spec)
        tracker.start_trial(trial)
        if run.epochs:
            tracker.log_epochs(run.uid, run.epochs)
        tracker.finish_trial(
            trial,
            run.state,
            worker=run.worker,
            epochs=run.epochs,
            outcome=_outcome(run),
            reason=run.reason,
            successor=run.number + RETRIED_AFTER if run.state == "INTERRUPTED" else None,
        )
    for reading in made.readings:
        tracker.log_test(made.uid, reading)
    tracker.close_study(made.uid, "COMPLETE")


def fairness(classes: int) -> DataQuality:
    """Of parts whose classes are not quite of one size; some examples stand in several."""
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


def promise(spec: TrialSpec) -> float:
    """The validation accuracy that a trial comes to, its noise apart."""
    rate = _rate(spec)
    size = sum(math.log2(width) for width in spec.hidden) / 24
    height = 0.906 - 0.014 * rate**2 - 0.09 * max(0.0, rate - 0.9) ** 2 - 0.012 * (size - 1) ** 2
    height += {"none": 0.0, "before": 0.006, "after": 0.004}[spec.batch_norm]
    height -= 0.06 * min(1.0, 1.5e3 * spec.l1) + 0.015 * min(1.0, 1e3 * spec.l2)
    return max(0.12, height)


def parameters(spec: TrialSpec, classes: int) -> int:
    widths = (INPUTS, *spec.hidden, classes)
    count = sum(fan_in * fan_out for fan_in, fan_out in pairwise(widths))
    count += sum(w for w, bias in zip(widths[1:], spec.layer_biases, strict=True) if bias)
    return count + (2 * sum(spec.hidden) if spec.batch_norm != "none" else 0)


def _rate(spec: TrialSpec) -> float:
    """Powers of ten above the optimiser's best learning rate."""
    return math.log10(spec.learning_rate / BEST_RATES[spec.optimizer])


def _interrupted(rng: np.random.Generator, trials: int) -> list[int]:
    """Ascending, so that a successor which is interrupted too hands the same settings on."""
    count = int(INTERRUPTED * trials)
    if not count:
        return []
    return sorted(rng.choice(trials - RETRIED_AFTER, count, replace=False).tolist())


def _states(
    rng: np.random.Generator, specs: Sequence[TrialSpec], interrupted: Sequence[int]
) -> list[State]:
    """The less a trial promises, the likelier it was pruned; the best is always complete."""
    states: list[State] = ["COMPLETE"] * len(specs)
    for number in interrupted:
        states[number] = "INTERRUPTED"
    order = sorted(
        (number for number, state in enumerate(states) if state == "COMPLETE"),
        key=lambda number: promise(specs[number]) + 0.004 * rng.standard_normal(),
    )
    for number in rng.choice(order[: len(order) // 2 + 1], int(FAILED * len(specs)), replace=False):
        states[number] = "FAILED"
    left = [number for number in order if states[number] == "COMPLETE"]
    for number in left[: int(PRUNED * len(specs))]:
        states[number] = "PRUNED"
    return states


def _trained(rng: np.random.Generator, run: RunRecord, longest: int, confused: Array) -> RunRecord:
    """The run with its curves, its end, and what it came to."""
    spec, size = run.spec, parameters(run.spec, len(confused))
    free = longest // 4  # of the pruner
    epochs, reason = longest, ""
    if run.state == "PRUNED":
        late = rng.random() ** 2  # most are stopped at once
        epochs = max(1, min(longest - 1, free + 1 + int(late * (longest - free - 1))))
    elif run.state != "COMPLETE":
        epochs = int(rng.integers(longest))
        reason = f"{run.worker} died (killed by SIGKILL)"
        if run.state == "FAILED" and rng.random() < 0.8:
            reason = f"diverged: train/loss is nan in epoch {epochs + 1}"
    curve = _curve(rng, spec, size, run.started, epochs)
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
        confusion=_confusion(rng, confused, SIZES["validation"], best.val_accuracy),
    )


def _curve(
    rng: np.random.Generator, spec: TrialSpec, size: int, started: float, epochs: int
) -> tuple[EpochMetrics, ...]:
    """Saturating; a larger rate brings deeper dips, a larger network a wider gap to training."""
    epoch, noise = np.arange(1, epochs + 1), rng.standard_normal((5, epochs))
    done, rate = epoch / spec.epochs, _rate(spec)
    cosine = (1 + np.cos(np.pi * done)) / 2
    height = promise(spec) + 0.002 * rng.standard_normal()
    speed = 1.6 + 0.5 * max(-1.5, min(0.8, rate)) + 0.3 * (spec.batch_norm != "none")
    reached = height - (height - 0.1) * np.exp(-speed * np.sqrt(epoch))
    dips = (0.008 * 10 ** min(0.5, rate)) * (0.05 + cosine) * np.abs(noise[0])
    fit = done * 0.012 * math.log10(size / 1e4) / (1 + 5e3 * spec.l1 + 1e3 * spec.l2)

    images = SIZES["validation"]
    val_accuracy = reached - dips + 0.0015 * noise[3]
    val_accuracy = np.rint(val_accuracy.clip(0.08, 0.99) * images) / images
    train_accuracy = (reached + 2 * fit - 0.02 / epoch + 0.001 * noise[1]).clip(0.08, 0.9995)
    val_loss = 2.7 * (1 - val_accuracy) * (1 + 6 * fit) + 0.004 * np.abs(noise[2])
    train_loss = 2.7 * (1 - train_accuracy)
    penalty = size * (0.02 * spec.l1 + 8e-4 * spec.l2) * (1 - 0.3 * done)
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


def _likeness(classes: Sequence[str]) -> Array:
    """[true][predicted]: how often one is taken for the other, in shares of the row's largest."""
    likeness = np.ones((len(classes), len(classes)))
    for row, name in enumerate(classes):
        for column, other in enumerate(classes):
            likeness[row, column] = ALIKE.get((name, other), ALIKE.get((other, name), 1))
    np.fill_diagonal(likeness, 0)
    return likeness


def _confusion(
    rng: np.random.Generator, likeness: Array, images: int, accuracy: float
) -> tuple[tuple[int, ...], ...]:
    """A matrix of so many images, the classes of equal size, with this very accuracy."""
    classes = len(likeness)
    true = np.arange(images) % classes
    wrong = images - round(accuracy * images)
    # The images that are hardest: weighted draws without putting back.
    hardness = rng.standard_exponential(images) / likeness.sum(1)[true]
    missed = np.bincount(true[np.argpartition(hardness, wrong - 1)[:wrong]], minlength=classes)
    cells = rng.multinomial(missed, likeness / likeness.sum(1, keepdims=True))
    cells[np.diag_indices(classes)] = np.bincount(true, minlength=classes) - missed
    return tuple(map(tuple, cells.tolist()))


def _reading(
    rng: np.random.Generator, champion: RunRecord, when: float, confused: Array
) -> TestReading:
    """The test set's: below the best of many validation accuracies, which flatters."""
    assert champion.best is not None
    accuracy = champion.best.val_accuracy - 0.008
    return TestReading(
        selection=rng.bytes(32).hex(),
        number=champion.number,
        time=when,
        loss=champion.best.val_loss + 0.02,
        confusion=_confusion(rng, confused, SIZES["test"], accuracy),
    )


def _labels(made: StudyRun) -> bytes:
    """Sorted; the classes are as large in every trial's confusion matrix."""
    confusion = next((run.confusion for run in made.trials if run.confusion), ())
    return bytes(true for true, row in enumerate(confusion) for _ in range(sum(row)))


def _outcome(run: RunRecord) -> TrialResult | TrialFailure | None:
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
