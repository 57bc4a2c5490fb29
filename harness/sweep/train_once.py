"""`harness train`: one run with fixed settings, through the sweep's engine, driver and tracker."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

from harness.analysis.formatting import aligned, in_json, ordinal, ranked_classes
from harness.config.search_space import Space
from harness.data.prepare import Prepared
from harness.errors import ConfigError, HarnessError, Interruption
from harness.metrics import Score, score_of
from harness.results import TrialFailure, TrialResult
from harness.search.fixed_trials import FixedSearch
from harness.sweep.check_models import examined, keep_code
from harness.sweep.driver import Driver, ProgressDisplay
from harness.sweep.plan import Plan
from harness.system.signals import Stop, interruptible
from harness.tracking.predictions import TEST_FILE
from harness.tracking.types import TestReading
from harness.trial import TrialSpec
from harness.workspace import private


@dataclass(frozen=True)
class TrainResult:
    """What `train` did: one run with fixed settings."""

    spec: TrialSpec
    result: TrialResult
    reading: TestReading | None
    experiment: str
    run_id: str
    classes: tuple[str, ...]
    score: Score

    def text(self) -> str:
        result, best, reading = self.result, self.result.best, self.reading
        at = f"epoch {best.epoch} of {result.epochs}, {result.seconds:.1f} s"
        score = self.score
        lines = [
            ("settings", f"{self.spec.describe()}, {result.parameters:,} parameters"),
            ("validation", f"{score.quoted(result, full=True)}, {score.of_epoch(best)} ({at})"),
        ]
        if reading is not None:
            look = f"{ordinal(reading.look)} look at this test set"
            more = score.beside(reading.loss, reading.mae, reading.r2)
            lines.append(("test", f"{score.quoted(reading)}, {more} ({look})"))
        part, matrix = ("test", reading.confusion) if reading else ("validation", result.confusion)
        if self.classes:
            lines.append(("classes", f"on {part}: {ranked_classes(self.classes, matrix)}"))
        lines.append(("run", self.run_id))
        if reading is not None and self.classes:
            lines.append(("look", f"harness predict {self.run_id} --test 12"))
        lines.append(("browse", f"harness ui {self.experiment}"))
        return aligned(lines)

    def to_dict(self) -> dict[str, Any]:
        reading = self.reading
        return {
            "experiment": self.experiment,
            "run_id": self.run_id,
            "best": self.result.best.to_dict(),
            "spec": self.spec.to_dict(),
            "validation": in_json(self.score, self.classes, self.result),
            "test": reading and in_json(self.score, self.classes, reading) | reading.figures,
        }


def train(planned: Plan, *, test: bool, watcher: ProgressDisplay) -> TrainResult:
    """Train what [train] says once, [space] and [[trial]] aside. The run stands alone in MLflow."""
    study = planned.config.study.model_copy(update={"sampler": "random", "seeds": 1, "trials": 1})
    config = replace(planned.config, study=study, space=Space({}), settings={})
    planned = replace(planned, config=config)
    try:
        config.undrawn()
    except ValueError as error:  # its model is in [space], or in the [[trial]] tables
        raise ConfigError(f"{config.source}: [train] {error}") from None
    prepared = planned.prepare()
    with private(), interruptible() as stop, examined(planned, prepared) as planned:
        return _train(planned, prepared, test, watcher, stop)


def _train(
    planned: Plan, prepared: Prepared, test: bool, watcher: ProgressDisplay, stop: Stop
) -> TrainResult:
    config, spec = planned.config, planned.config.undrawn()
    experiment = f"{config.study.name}-train"
    objective = config.study.objective
    source = FixedSearch(uuid.uuid4().hex[:12], [spec], objective=objective)
    name = f"{experiment}.{source.uid}"
    with (
        planned.executor(prepared, 1) as executor,
        planned.home.open_spool(name, planned.tracking_uri, watcher.message, stop) as tracker,
    ):
        tracker.in_order = True  # nobody goes on with it
        watcher.message(f"{config.study.name}: {spec.describe()} on {planned.device}")
        tracker.open(planned.record(prepared, source.uid, slots=1, name=experiment, kind="train"))
        ending = Driver(source, executor, tracker, watcher, target=1, objective=objective).run(stop)
        if ending == "interrupted":
            raise Interruption("interrupted; the run is closed as such")
        outcome = source.outcomes[0]
        if isinstance(outcome, TrialFailure):
            raise HarnessError(f"the training failed: {outcome.reason}")
        keep_code(planned, tracker, source.uid)
        reading = None
        if test:
            from harness.data.torch_datasets import SealedTest
            from harness.models.mlp import load_model
            from harness.test_set.opening import read_test

            model = load_model(spec, len(prepared.training.classes), outcome.weights)
            sealed = SealedTest.of(prepared)
            settings = f"fixed settings {source.uid}"
            ledger = planned.home.ledger(prepared.test_digest)
            trained = [(source.uid, 0, spec.loss, model)]
            known_as = (experiment, source.uid)
            ((reading, said),) = read_test(settings, known_as, sealed, ledger, trained)
            tracker.log_file(source.uid, TEST_FILE, said.to_file())
            tracker.log_test(source.uid, reading)
        run_id = tracker.run_id(source.uid)
        score, classes = score_of(config.definition()), prepared.training.classes
        return TrainResult(spec, outcome, reading, experiment, run_id, classes, score)
