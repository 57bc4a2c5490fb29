"""A fixed list of settings over seeds that never ran, with what it said of the test set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.results import EpochMetrics
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.tracking.types import RunRecord, StudyRun, TestReading
from harness.trial import TrialSpec

THREE: dict[str, dict[str, Any]] = {
    "linear": {"hidden": []},
    "shallow": {"hidden": [64]},
    "deep": {"hidden": [64, 32], "batch_norm": "before"},
}
TRAIN = {"epochs": 3, "batch_size": 32}
WORSE = 0.01
"""Accuracy that a setting has less than the next."""


def listed(
    settings: Mapping[str, dict[str, Any]] = THREE, seeds: int = 3, examples: int = 1000
) -> tuple[StudyRun, InMemoryTracker]:
    """The last setting is the best, by far; the same arguments give the same study."""
    rng, tracker = np.random.default_rng(0), InMemoryTracker()
    trials, readings = [], []
    for number in range(seeds * len(settings)):
        seed, place = divmod(number, len(settings))
        spec = TrialSpec.from_dict(TRAIN | list(settings.values())[place] | {"seed": seed})
        height = 0.97 - WORSE * (len(settings) - 1 - place) + 0.002 * rng.standard_normal()
        trials.append(_run(number, spec, round(height, 4), examples))
        true = np.arange(examples) % 2
        said = np.where(rng.random(examples) < height - 0.005, true, 1 - true)
        kept = TestPredictions(true, said, np.full(examples, 0.9))
        tracker.log_file(f"r{number}", TEST_PREDICTIONS_FILE, kept.to_bytes())
        cells = np.bincount(2 * true + said, minlength=4).reshape(2, 2).tolist()
        readings.append(
            TestReading(selection="s", number=number, time=9e8, loss=0.1, confusion=_matrix(cells))
        )
    made = StudyRun(
        name="listed",
        uid="u",
        run_id="r",
        experiment_id="1",
        facts={"device": "CPU, 2 cores", "command": "harness run-study listed --cpu"},
        classes=("Shirt", "Coat"),
        definition={
            "study": {"objective": "val/accuracy", "sampler": "list", "seed": 0},
            "data": {"name": "digits"},
            "train": TRAIN,
            "space": {},
            "trial": dict(settings),
        },
        readings=tuple(readings),
        started=9e8,
        ended=9e8 + 60,
        trials=tuple(trials),
    )
    return made, tracker


def gridded(space: Mapping[str, list[Any]], study: StudyRun) -> StudyRun:
    """The same trials as those of a grid."""
    table = study.definition["study"] | {"sampler": "grid"}
    definition = {key: study.definition[key] for key in ("data", "train")}
    return replace(study, definition=definition | {"study": table, "space": dict(space)})


def _run(number: int, spec: TrialSpec, accuracy: float, examples: int) -> RunRecord:
    best = EpochMetrics(
        epoch=1,
        train_loss=0.1,
        train_accuracy=accuracy,
        penalty=0.0,
        val_loss=1 - accuracy,
        val_accuracy=accuracy,
        learning_rate=1e-3,
        seconds=1.0 + spec.seed,
        time=9e8 + number,
    )
    last = replace(best, epoch=3, val_accuracy=accuracy - 0.01, time=best.time + 1)
    half = examples // 2
    correct = round(half * accuracy)
    return RunRecord(
        uid=f"u/{number}",
        run_id=f"r{number}",
        number=number,
        state="COMPLETE",
        spec=spec,
        worker="worker 0",
        started=9e8 + 2 * number,
        ended=9e8 + 2 * number + 2,
        metrics={"best/val_accuracy": best.val_accuracy, "best/val_loss": best.val_loss},
        epochs=(best, last),
        best=best,
        parameters=100 * (1 + sum(spec.hidden)),
        confusion=((correct, half - correct), (half - correct, correct)),
    )


def _matrix(cells: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, cells))
