"""`--dry-run`: what a study would do, and about how long it would take, measured here and now."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
import torch

from harness.data.files import Prepared
from harness.data.parts import load_splits
from harness.engine import Resident
from harness.engine.loop import Group
from harness.plan import Plan
from harness.trial import TrialSpec

DRAWS = 8
"""Settings drawn from the space and timed."""
WARM, TIMED = 3, 20
"""Steps."""


def dry_run(planned: Plan) -> dict[str, Any]:
    """The resolved study, its split and its estimate, as plain values. Leaves nothing behind.

    The data is decoded into a temporary folder; a missing dataset is an error, not a download.
    """
    config = planned.config
    with tempfile.TemporaryDirectory() as cache:
        prepared = planned.prepare(cache=Path(cache), download=False)
        trial_seconds = _trial_seconds(planned, prepared)
    workers = len(planned.devices)
    return config.definition() | {
        "name": config.study.name,
        "file": config.source,
        "trials": config.study.trials,
        "device": planned.device,
        "workers": workers,
        "data_from": prepared.where,
        "sizes": prepared.sizes,
        "split_hash": prepared.split_hash,
        "seconds_a_trial": trial_seconds,
        "seconds": trial_seconds * config.study.trials / workers,
    }


def _trial_seconds(planned: Plan, prepared: Prepared) -> float:
    """Mean over settings drawn at random: a few steps of each, times all it would do."""
    device = planned.devices[0]
    threads = torch.get_num_threads()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    config = planned.config
    try:
        if device == "cpu":
            torch.set_num_threads(1)
        data = Resident(load_splits(prepared.training), device)
        specs = [config.space.suggest(study.ask(), config.fixed()) for _ in range(DRAWS)]
        return statistics.fmean(spec.epochs * _epoch_seconds(spec, data) for spec in specs)
    finally:
        torch.set_num_threads(threads)


def _epoch_seconds(spec: TrialSpec, data: Resident) -> float:
    group = Group([spec], data)
    started, timed = 0.0, 0
    for index, (x, y) in enumerate(data.batches([spec], 1)):
        if index == WARM:
            started, timed = time.perf_counter(), 0
        group.network.gradients(x, y)
        group.optimizer.step([spec.learning_rate])
        timed += 1
        if index == WARM + TIMED:
            break
    step = (time.perf_counter() - started) / timed
    started = time.perf_counter()
    group.validate()
    return step * group.steps_per_epoch + time.perf_counter() - started
