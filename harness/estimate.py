"""`--dry-run`: what a study would do, and about how long it would take, measured here and now."""

from __future__ import annotations

import itertools
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
from harness.errors import ConfigError
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
        try:
            specs = [config.space.suggest(study.ask(), config.fixed()) for _ in range(DRAWS)]
        except ValueError as error:
            where = f"{config.source}: [space]"
            raise ConfigError(f"{where} draws what cannot be trained: {error}") from None
        return statistics.fmean(spec.epochs * _epoch_seconds(spec, data) for spec in specs)
    finally:
        torch.set_num_threads(threads)


def _epoch_seconds(spec: TrialSpec, data: Resident) -> float:
    group = Group([spec], data)
    batches = (batch for epoch in itertools.count(1) for batch in data.batches([spec], epoch))
    for index, (x, y) in enumerate(batches):
        if index == WARM:
            started = _now(data)
        if index == WARM + TIMED:
            break
        group.network.gradients(x, y)
        group.optimizer.step([spec.learning_rate])
    trained = _now(data)
    group.validate()
    return (trained - started) / TIMED * group.steps_per_epoch + _now(data) - trained


def _now(data: Resident) -> float:
    """Once the device has done what was asked of it."""
    if data.device.type == "cuda":
        torch.cuda.synchronize(data.device)
    return time.perf_counter()
