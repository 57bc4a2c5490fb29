"""`harness train`: one run with fixed settings, by the sweep's engine, driver and tracker."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

from harness.analysis.formatting import (
    format_class_accuracies,
    score_to_dict,
)
from harness.analysis.test_set_facts import describe_overlap, format_opening
from harness.config.search_space import SearchSpace
from harness.data.prepare import PreparedDataset
from harness.errors import ConfigError, HarnessError, Interruption
from harness.metrics import Score, read_score
from harness.results import TrialFailure, TrialResult
from harness.search.fixed_trials import FixedSearch
from harness.sweep.check_models import check_models, log_model_code
from harness.sweep.driver import Driver
from harness.sweep.plan import Plan
from harness.sweep.process_state import use_process
from harness.sweep.progress import ProgressDisplay
from harness.sweep.table_record import log_table
from harness.system.signals import StopFlag
from harness.system.terminal import align_labels
from harness.test_set.sealed import SealedTest, identify_parts
from harness.tracking.predictions import TEST_PREDICTIONS_FILE
from harness.tracking.test_reading import TestReading
from harness.trial import TrialSpec


@dataclass(frozen=True, repr=False)
class TrainResult:
    """The result of `train_once`."""

    spec: TrialSpec
    result: TrialResult
    reading: TestReading | None
    experiment: str
    run_id: str
    classes: tuple[str, ...]
    score: Score

    def text(self, width: int | None = None) -> str:
        """Return the result for people, one fact a line, wrapped to `width` columns."""
        result, best, reading = self.result, self.result.best, self.reading
        at = f"epoch {best.epoch} of {result.epochs}, {result.seconds:.1f} s"
        score = self.score
        metrics = f"{score.format_score(result, full=True)}, {score.format_epoch(result, best)}"
        lines = [
            ("settings", f"{self.spec.describe()}, {result.parameters:,} parameters"),
            ("validation", f"{metrics} ({at})"),
        ]
        if reading is not None:
            look = format_opening(reading)
            more = score.format_other_metrics(reading, reading.loss, reading.mae, reading.r2)
            lines.append(("test", f"{score.format_score(reading)}, {more} ({look})"))
            sentences = describe_overlap(reading)
            lines += [("" if n else "overlap", text) for n, text in enumerate(sentences)]
        part, matrix = ("test", reading.confusion) if reading else ("validation", result.confusion)
        if self.classes:
            lines.append(("classes", f"on {part}: {format_class_accuracies(self.classes, matrix)}"))
        lines.append(("run", self.run_id))
        if reading is not None and self.classes:
            lines.append(("examples", f"harness predict {self.run_id} --test 12"))
        lines.append(("browse", f"harness ui {self.experiment}"))
        return align_labels(lines, width)

    def __repr__(self) -> str:
        return self.text()

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values, for --format json."""
        reading = self.reading
        return {
            "experiment": self.experiment,
            "run_id": self.run_id,
            "best": self.result.best.to_dict(),
            "spec": self.spec.to_dict(),
            "validation": score_to_dict(self.score, self.classes, self.result),
            "test": reading
            and score_to_dict(self.score, self.classes, reading)
            | reading.figures
            | {"look": reading.look, "overlap": list(reading.overlap), "copies": reading.copies},
        }


def train_once(plan: Plan, *, test: bool, watcher: ProgressDisplay) -> TrainResult:
    """Train the settings of [train] once, without [space] and [[trial]].

    `test` opens the test set for this model. The run is recorded in the experiment STUDY-train.
    Raises HarnessError.
    """
    study = plan.config.study.model_copy(update={"sampler": "random", "seeds": 1, "trials": 1})
    config = replace(plan.config, study=study, space=SearchSpace({}), settings={})
    plan = replace(plan, config=config)
    try:
        config.build_fixed_spec()
    except ValueError as error:  # such as a model that only [space] or [[trial]] sets
        raise ConfigError(f"{config.source}: [train] {error}") from None
    if test and config.data.folds:
        raise ConfigError(
            f"{config.source}: [data] folds trains a network for each fold, and --test needs one; "
            "leave out --test, or add --set data.folds=0"
        )
    watcher.stage(f"preparing the data: {config.data.name}")
    prepared = plan.prepare()
    if test and not prepared.sizes["test"]:
        raise ConfigError(f"{config.source}: [data] test = 0 holds out no test set to open")
    with use_process() as stop, check_models(plan, prepared) as plan:
        return _train_planned(plan, prepared, test, watcher, stop)


def _train_planned(
    plan: Plan, prepared: PreparedDataset, test: bool, watcher: ProgressDisplay, stop: StopFlag
) -> TrainResult:
    config, spec = plan.config, plan.config.build_fixed_spec()
    experiment = f"{config.study.name}-train"
    objective = config.study.objective
    source = FixedSearch(uuid.uuid4().hex[:12], [spec], objective=objective)
    name = f"{experiment}.{source.uid}"
    watcher.stage("opening the tracking store")
    with (
        plan.create_executor(prepared, 1) as executor,
        plan.workspace.open_outbox(name, plan.tracking_uri, watcher.message, stop) as tracker,
    ):
        tracker.ended_cleanly = True  # this run is never resumed
        for note in filter(None, (*prepared.notes, prepared.size_note)):
            watcher.message(note)
        tracker.open_study(
            plan.build_record(prepared, source.uid, slots=1, name=experiment, kind="train")
        )
        watcher.stage(f"training {spec.describe()} on {plan.device}")
        ending = Driver(source, executor, tracker, watcher, target=1, objective=objective).run(stop)
        if ending == "interrupted":
            raise Interruption("interrupted; the run is recorded as interrupted")
        outcome = source.outcomes[0]
        if isinstance(outcome, TrialFailure):
            raise HarnessError(f"the training failed: {outcome.reason}")
        log_model_code(plan, tracker, source.uid)
        log_table(prepared, tracker, source.uid)
        reading, log = None, plan.workspace.test_set_log(prepared.test_digest)
        if not test and prepared.sizes["test"]:
            log.record_training(experiment, source.uid, identify_parts(prepared))
        if test:
            watcher.stage("opening the test set")
            from harness.models.mlp import load_model
            from harness.test_set.opening import read_test_set

            model = load_model(spec, len(prepared.training.classes), outcome.weights)
            sealed = SealedTest.of(prepared)
            settings = f"fixed settings {source.uid}"
            trained = [(source.uid, 0, spec, model)]
            study = (experiment, source.uid)
            ((reading, predictions),) = read_test_set(
                settings, study, sealed, log, trained, score_metric=outcome.score_metric
            )
            tracker.log_file(source.uid, TEST_PREDICTIONS_FILE, predictions.to_bytes())
            tracker.log_test(source.uid, reading)
        run_id = tracker.find_run_id(source.uid)
        score, classes = read_score(config.definition()), prepared.training.classes
        return TrainResult(spec, outcome, reading, experiment, run_id, classes, score)
