"""Training trainers to their end, as a worker would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.engine.device_data import DeviceData
from harness.engine.placement import Placement
from harness.engine.trainer import Trainer
from harness.results import EpochMetrics, Objective, Outcome, TrialResult
from harness.trial import TrialSpec

Keep = Callable[[str, EpochMetrics], bool]


def train_trials(
    specs: Sequence[TrialSpec],
    data: DeviceData,
    objective: Objective = "val/accuracy",
    placement: Placement | None = None,
    joins: Mapping[int, int] | None = None,
    keep: Keep = lambda uid, metrics: True,
) -> tuple[list[Outcome], list[list[EpochMetrics]]]:
    """Every spec's outcome and epochs. `joins` says after how many rounds a spec joins: 0."""
    trainer = Trainer(data, objective, placement)
    outcomes: dict[int, Outcome] = {}
    epochs: list[list[EpochMetrics]] = [[] for _ in specs]
    round_ = 0
    while len(outcomes) < len(specs):
        for index, spec in enumerate(specs):
            if (joins or {}).get(index, 0) == round_:
                trainer.add(str(index), spec)
        reports = [report for some in trainer.train_epoch() for report in some]
        for report in reports:
            index = int(report.uid)
            if isinstance(report.outcome, EpochMetrics):
                epochs[index].append(report.outcome)
                result = trainer.decide(report.uid, keep(report.uid, report.outcome))
                if result is not None:
                    outcomes[index] = result
            else:
                outcomes[index] = report.outcome
        round_ += 1
    assert len(trainer) == 0
    return [outcomes[index] for index in range(len(specs))], epochs


def train_one(
    spec: TrialSpec, data: DeviceData, objective: Objective = "val/accuracy"
) -> tuple[TrialResult, list[EpochMetrics]]:
    """One trial alone."""
    (outcome,), (epochs,) = train_trials([spec], data, objective)
    assert isinstance(outcome, TrialResult)
    return outcome, epochs
