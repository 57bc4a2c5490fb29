"""A synthetic study of a list of settings over several seeds, with test predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.results import EpochMetrics
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.tracking.test_reading import TestReading
from harness.tracking.types import RunRecord, StudyRun
from harness.trial import TrialSpec

SETTINGS: dict[str, dict[str, Any]] = {
    "linear": {"hidden": []},
    "shallow": {"hidden": [64]},
    "deep": {"hidden": [64, 32], "batch_norm": "before"},
}
TRAIN = {"epochs": 3, "batch_size": 32}
ACCURACY_STEP = 0.01
"""Difference in accuracy between a setting and the next."""


def make_list_study(
    settings: Mapping[str, dict[str, Any]] = SETTINGS, seeds: int = 3, examples: int = 1000
) -> tuple[StudyRun, InMemoryTracker]:
    """Return a study and its tracker. The last setting is the best; the result is deterministic."""
    rng, tracker = np.random.default_rng(0), InMemoryTracker()
    trials, readings = [], []
    for number in range(seeds * len(settings)):
        seed, position = divmod(number, len(settings))
        spec = TrialSpec.from_dict(TRAIN | list(settings.values())[position] | {"seed": seed})
        accuracy = (
            0.97 - ACCURACY_STEP * (len(settings) - 1 - position) + 0.002 * rng.standard_normal()
        )
        trials.append(_make_run(number, spec, round(accuracy, 4), examples))
        labels = np.arange(examples) % 2
        predicted = np.where(rng.random(examples) < accuracy - 0.005, labels, 1 - labels)
        predictions = TestPredictions(labels, predicted, np.full(examples, 0.9))
        tracker.log_file(f"r{number}", TEST_PREDICTIONS_FILE, predictions.to_bytes())
        cells = np.bincount(2 * labels + predicted, minlength=4).reshape(2, 2).tolist()
        readings.append(
            TestReading(
                selection="s", number=number, time=9e8, loss=0.1, confusion=_to_confusion(cells)
            )
        )
    study = StudyRun(
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
    return study, tracker


def convert_to_grid(space: Mapping[str, list[Any]], study: StudyRun) -> StudyRun:
    """Return the same trials as a grid study over `space`."""
    table = study.definition["study"] | {"sampler": "grid"}
    definition = {key: study.definition[key] for key in ("data", "train")}
    return replace(study, definition=definition | {"study": table, "space": dict(space)})


def _make_run(number: int, spec: TrialSpec, accuracy: float, examples: int) -> RunRecord:
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


def _to_confusion(cells: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, cells))
