"""Train trials until they end, as a worker does, on few examples."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import Split, load_splits
from harness.engine.device_data import DeviceData
from harness.engine.placement import Placement
from harness.engine.trainer import Trainer
from harness.results import EpochMetrics, Objective, Outcome, TrialResult
from harness.trial import TrialSpec

Keep = Callable[[str, EpochMetrics], bool]
FEW = 460
"""Training examples: 7 batches of 64."""


def load_few(digits: PreparedDataset) -> DeviceData:
    """Load FEW training examples of the digits, in double precision."""
    splits = load_splits(digits.training)
    train = splits.train
    few = Split(train.inputs, train.labels, train.rows[:FEW], train.mean, train.std)
    return DeviceData(replace(splits, train=few), dtype=torch.float64)


def train_trials(
    specs: Sequence[TrialSpec],
    data: DeviceData,
    objective: Objective = "val/accuracy",
    placement: Placement | None = None,
    joins: Mapping[int, int] | None = None,
    keep: Keep = lambda uid, metrics: True,
) -> tuple[list[Outcome], list[list[EpochMetrics]]]:
    """Train trials until all end; return their outcomes and the metrics of their epochs.

    `joins` has the epoch after which a trial, by its index, is added; the default is 0.
    """
    trainer = Trainer(data, objective, placement)
    outcomes: dict[int, Outcome] = {}
    epochs: list[list[EpochMetrics]] = [[] for _ in specs]
    epoch = 0
    while len(outcomes) < len(specs):
        for index, spec in enumerate(specs):
            if (joins or {}).get(index, 0) == epoch:
                trainer.add(str(index), spec)
        for report in itertools.chain.from_iterable(list(trainer.train_epoch())):
            index = int(report.uid)
            if isinstance(report.outcome, EpochMetrics):
                epochs[index].append(report.outcome)
                result = trainer.decide(report.uid, keep(report.uid, report.outcome))
                if result is not None:
                    outcomes[index] = result
            else:
                outcomes[index] = report.outcome
        epoch += 1
    assert len(trainer) == 0
    return [outcomes[index] for index in range(len(specs))], epochs


def train_one(
    spec: TrialSpec, data: DeviceData, objective: Objective = "val/accuracy"
) -> tuple[TrialResult, list[EpochMetrics]]:
    """Train one trial alone."""
    (outcome,), (epochs,) = train_trials([spec], data, objective)
    assert isinstance(outcome, TrialResult)
    return outcome, epochs
