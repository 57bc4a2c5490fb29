"""The values that trackers write and read: StudyRecord, TestReading, RunRecord, StudyRun, ..."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from harness.config.schema import GRID_OR_LIST
from harness.metrics import Score, read_score
from harness.results import Cost, EpochMetrics, Objective, compute_class_accuracies
from harness.tracking.ranking import is_within_limits, rank_runs
from harness.tracking.test_reading import TestReading
from harness.trial import TrialSpec

State = Literal["RUNNING", "COMPLETE", "PRUNED", "FAILED", "INTERRUPTED"]
Kind = Literal["study", "train"]

SET_ASIDE_REASON = "its driver died, then its study was put aside by --fresh"
"""The reason recorded on a trial that was running when --fresh set its study aside."""

CONFIRM_FACT, UNCONFIRMED = "confirm", "no"
"""The fact that describes how a search's winner is confirmed, and its value for "not at all"."""
RACE_RULE = "a race of "
"""How that fact begins if the best settings race for the confirmation runs."""
ENSEMBLE_FACT, NO_ENSEMBLE = "ensemble", "no"
"""The fact that describes how an ensemble is chosen, and its value for "none"; missing in older
records."""
CALIBRATED_FACT = "calibrated"
"""The fact whether `[study] calibrated` is set: `yes` or `no`; missing in older records."""
MARGIN_FACT = "confirm_margin"
"""The fact with the largest loss at which a smaller network counts as good enough, in points of
accuracy or percent of the RMSE."""
TARGET_FACT = "trials"
"""The fact with the number of trials that the study is to end with; missing in older records."""
FIRST_TRIALS_FACT = "first_trials"
"""Which settings the first trials have, if they were chosen."""
TEST_SET_FACT = "test_set"
"""The fact that identifies the test set: the SHA-256 of its content."""
MAX_CATEGORIES_FACT = "max_categories"
"""The fact with `[data] max_categories`, where it is set."""
MODEL_FOLDER_FACT = "model_folder"
"""The fact that holds the folder of a study's custom models, relative to where it was started."""
ORIGIN_FACTS = ("user", "host", "folder")
"""The facts that tell who started a study, and in which folder."""
SPLIT_TAG = "harness.redrawn_split"
"""The tag of a confirmation run's `Trial.split`; missing on the study's own split."""
CONFIRM_INFIX = "/confirm/"
"""The part of a confirmation run's uid between the study's uid and the run's own name."""

RANK_METRIC = "rank/val"
"""The metric of a finished study's trials by which MLflow's UI sorts them: 1 is the champion."""

Curve = tuple[tuple[int, float], ...]
"""(step, value) pairs, 1,000 at most."""
ENVIRONMENT_FACTS = ("device", "slots", "cpu", "platform", "versions", "split_hash")
"""Facts recorded on each trial's run too, because a study may continue on another machine.

A bitwise replay of the trial needs the same values. See harness.sweep.environment.
"""


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study as it is opened: the content of its parent run.

    The outbox writes this class to disk by field name.
    """

    name: str
    """The name of its experiment."""
    uid: str
    kind: Kind = "study"
    """`train` has a single run and no parent run."""
    text: str
    """The study file's text."""
    definition: dict[str, Any]
    facts: dict[str, str]
    """Tags: device, versions, git commit, hash of the split."""
    dataset: str
    dataset_digest: str
    dataset_source: str
    sizes: dict[str, int]
    classes: tuple[str, ...]
    validation_labels: bytes = b""
    """The true class of each validation example in the split's order, one byte each; for a
    regression the true values as float32."""
    continued: bool = False
    """Whether it already has trials."""
    set_aside: str | None = None
    """The suffix that --fresh gave to the name of an older study."""
    set_aside_uid: str = ""
    """The uid of that older study; empty if its Optuna record is lost or of an earlier version."""

    @property
    def environment(self) -> dict[str, str]:
        """The facts recorded on the trials that are trained while the study is open."""
        return {name: self.facts[name] for name in ENVIRONMENT_FACTS if name in self.facts}


@dataclass(frozen=True, kw_only=True, repr=False)
class RunRecord:
    """The run of a trial, or a confirmation run, as it is read from the store."""

    uid: str
    run_id: str
    number: int
    """The trial's number; for a confirmation run, the number of the trial that it repeats."""
    state: State
    spec: TrialSpec
    reason: str = ""
    """Why it failed or was interrupted."""
    worker: str = ""
    started: float = 0.0
    """Unix time."""
    ended: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The last value of each metric by its name in MLflow."""
    epochs: tuple[EpochMetrics, ...] = ()
    best: EpochMetrics | None = None
    parameters: int = 0
    confusion: tuple[tuple[int, ...], ...] = ()
    interval: tuple[float, float] | None = None
    """For a regression: the 95 % interval of the validation RMSE."""
    mae_interval: tuple[float, float] | None = None
    """That of the validation MAE; None in older records."""
    score_metric: Objective | None = None
    """The objective, if it is the score instead of accuracy or RMSE."""
    score_interval: tuple[float, float] | None = None
    """The 95 % interval of that metric."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """ENVIRONMENT_FACTS of where it was trained; empty in older records."""
    replay: str = ""
    """The result of its last replay in one word; empty if it was never replayed."""
    split: int = 0
    """The split that it was trained on; see `Trial.split`. 0 in older records."""

    @property
    def settings(self) -> dict[str, Any]:
        """The trial's settings as plain values, such as `settings["hidden"]`."""
        return self.spec.to_dict()

    @property
    def class_accuracy(self) -> tuple[float, ...]:
        return compute_class_accuracies(self.confusion)

    @property
    def score(self) -> float:
        """The score of the best epoch, which the trial must have; see `Score`."""
        assert self.best is not None
        return self.best.get_score(self.score_metric)

    def get_cost(self, name: str) -> float | None:
        """Return its `parameters` or `milliseconds`; None if not on record."""
        if name == "parameters" and self.parameters:
            return self.parameters
        return self.metrics.get(f"cost/{name}")

    def __repr__(self) -> str:
        score = "" if self.best is None else f", best epoch {self.best.epoch}: {self.score:.6g}"
        return f"RunRecord(trial {self.number}: {self.spec.describe()}{score})"

    def read_objective(self, name: Objective | Cost) -> float | None:
        """Return one of several objectives; None if it is not on record."""
        if name == "parameters" or name == "milliseconds":
            return self.get_cost(name)
        return self.objective_value(name)

    def objective_value(self, objective: Objective) -> float | None:
        """Return the objective at the best epoch; None for a run without one."""
        return self.metrics.get(f"best/{objective.replace('/', '_')}")


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """A study as it is read from the store: its parent run, and its trials by number."""

    name: str
    uid: str
    run_id: str
    experiment_id: str
    facts: dict[str, str]
    classes: tuple[str, ...]
    definition: dict[str, Any]
    readings: tuple[TestReading, ...]
    """The trials' results on the test set, the oldest first."""
    started: float
    ended: float | None
    state: State = "COMPLETE"
    trials: Sequence[RunRecord] = field(default_factory=tuple)
    confirmation_runs: Sequence[RunRecord] = field(default_factory=tuple)
    """The best trials' settings trained with new seeds; every attempt."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The last value of each metric of its parent run."""
    deleted: tuple[str, ...] = ()
    """Trials and confirmation runs whose runs were deleted in MLflow, as `trial 3`."""

    @property
    def objective(self) -> Objective:
        return cast(Objective, self.definition["study"]["objective"])

    @property
    def objectives(self) -> tuple[Objective | Cost, ...]:
        """Its objectives, the first of which is `objective`; older records have only that."""
        return tuple(self.definition["study"].get("objectives", ())) or (self.objective,)

    @property
    def score(self) -> Score:
        """The metric that its trials are compared by."""
        return read_score(self.definition)

    @property
    def is_grid_or_list(self) -> bool:
        """Whether all of its settings were fixed before it started."""
        return self.definition["study"].get("sampler") in GRID_OR_LIST

    @property
    def test_name(self) -> str:
        """`test`, or `substitute test` if it was held out of the training set instead."""
        has_test_set = self.definition.get("data", {}).get("own_test", True)
        return "test" if has_test_set else "substitute test"

    @property
    def has_test_set(self) -> bool:
        """Whether examples were held out to test on; `[data] test = 0` holds out none."""
        splits = json.loads(self.facts.get("splits", "{}"))
        return bool(splits.get("test", [True])[0])

    @property
    def test_set_openings(self) -> int:
        """How many times this study opened the test set; once for all trials of a grid or list."""
        return len({reading.selection for reading in self.readings})

    @property
    def margin(self) -> float:
        """`[confirm] margin`; its default in older records."""
        return float(self.facts.get(MARGIN_FACT, "0.5"))

    @property
    def is_resampled(self) -> bool:
        """Whether its confirmation runs have new splits; true as long as it has none."""
        return all(run.split for run in self.confirmation_runs)

    @property
    def has_confirmation(self) -> bool:
        """Whether the study trains its best trials again with new seeds."""
        return self.facts.get(CONFIRM_FACT, UNCONFIRMED) != UNCONFIRMED

    @property
    def folds(self) -> int:
        """The number of folds of its cross-validation; 0 with one validation set."""
        return int(self.definition.get("data", {}).get("folds", 0))

    @property
    def is_retrained(self) -> bool:
        """Whether its model is trained again on all folds' examples; see `[final]`."""
        final = self.definition.get("final", {})
        return self.folds > 0 and final.get("model", "retrained") == "retrained"

    @property
    def is_raced(self) -> bool:
        """Whether its best settings race on new splits, so the numbers of their runs differ."""
        return self.is_resampled and self.facts.get(CONFIRM_FACT, "").startswith(RACE_RULE)

    @property
    def ensemble_rule(self) -> str:
        """How its ensemble is chosen; empty for none."""
        rule = self.facts.get(ENSEMBLE_FACT, NO_ENSEMBLE)
        return "" if rule == NO_ENSEMBLE else rule

    @property
    def is_calibrated(self) -> bool:
        """Whether its champion's probabilities are scaled by a temperature."""
        return self.facts.get(CALIBRATED_FACT) == "yes"

    def find_reading(self, run: RunRecord) -> TestReading | None:
        """Return the test set's result for the weights of `run`, if there is one."""
        for reading in self.readings:
            is_trial = reading.number == run.number and CONFIRM_INFIX not in run.uid
            if reading.run == run.uid or (not reading.run and is_trial):
                return reading
        return None

    @property
    def limits(self) -> dict[str, float]:
        """[limits] by the name of the cost; empty in older records."""
        return dict(self.definition.get("limits", {}))

    def is_within_limits(self, run: RunRecord) -> bool:
        return is_within_limits(run, self.limits)

    def rank_trials(self) -> list[RunRecord]:
        """Return the complete trials within [limits], the best first; see `rank_runs`."""
        return rank_runs(self.trials, self.objectives, self.limits)


def parse_split(tags: Mapping[str, str]) -> int:
    """Read `Trial.split` from a run's tags. Raises ValueError."""
    return int(tags.get(SPLIT_TAG, "0"))
