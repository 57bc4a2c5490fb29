"""`harness train`: one run with fixed settings, through the sweep's engine, driver and tracker."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

from harness.driver import Driver, Watcher
from harness.errors import HarnessError, Interruption
from harness.plan import Plan
from harness.search.fixed import FixedSearch
from harness.signals import interruptible
from harness.space import Space
from harness.tracking.records import TestReading
from harness.trial import TrialFailure, TrialResult, TrialSpec


@dataclass(frozen=True)
class TrainResult:
    """What `train` did: one run with fixed settings."""

    spec: TrialSpec
    result: TrialResult
    reading: TestReading | None
    experiment: str
    classes: tuple[str, ...]


def train(planned: Plan, *, test: bool, watcher: Watcher) -> TrainResult:
    """Train the study's fixed settings once; [space] is ignored. The run stands alone in MLflow."""
    config = replace(planned.config, space=Space({}))
    planned = replace(planned, config=config)
    spec = TrialSpec(**config.fixed())
    prepared = planned.prepare()
    experiment = f"{config.study.name}-train"
    source = FixedSearch(uuid.uuid4().hex[:12], [spec])
    with interruptible() as stop, planned.executor(prepared, 1) as executor:
        watcher.message(f"{config.study.name}: {spec.describe()} on {planned.device}")
        tracker = planned.home.open_tracker(planned.tracking_uri)
        tracker.open(planned.record(prepared, source.uid, name=experiment, kind="train"))
        objective = config.study.objective
        ending = Driver(source, executor, tracker, watcher, target=1, objective=objective).run(stop)
    if ending == "interrupted":
        raise Interruption("interrupted; the run is closed as such")
    outcome = source.outcomes[0]
    if isinstance(outcome, TrialFailure):
        raise HarnessError(f"the training failed: {outcome.reason}")
    reading = None
    if test:
        from harness.data.parts import SealedTest
        from harness.model import load_mlp
        from harness.selection import read_test

        model = load_mlp(spec, len(prepared.training.classes), outcome.weights)
        reading = read_test(f"fixed settings {source.uid}", 0, model, SealedTest.of(prepared))
        tracker.log_test(source.uid, reading)
    return TrainResult(spec, outcome, reading, experiment, prepared.training.classes)
