"""What a tracker is given and what it gives back: plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from harness.config.schema import GRID_OR_LIST
from harness.metrics import Score, score_of, sign_of
from harness.results import EpochMetrics, Objective, TrialResult, class_accuracies
from harness.trial import TrialSpec

State = Literal["RUNNING", "COMPLETE", "PRUNED", "FAILED", "INTERRUPTED"]
Kind = Literal["study", "train"]

PUT_ASIDE = "its driver died, then its study was put aside by --fresh"
"""Why a trial failed that was running when that happened."""


CONFIRM, UNCONFIRMED = "confirm", "no"
"""The fact that says how a search's winner is confirmed, and its value where it is not."""
TEST_SET = "test_set"
"""The fact that names the test set by the SHA-256 of its content."""
MODEL_FOLDER = "model_folder"
"""The fact that says where the code of a study's own models lay, from where it was started."""
CONFIRMING = "/confirm/"
"""In the uid of a confirming run, between its study's and its own."""

Curve = tuple[tuple[int, float], ...]
"""(step, value), 1,000 at most."""
ENVIRONMENT = ("device", "slots", "cpu", "platform", "versions", "split_hash")
"""Facts that stand on each trial's run too, for a study may go on elsewhere: on what it was trained
there, by harness.facts. Whether its bits can be had again depends on them."""

Matrix = Sequence[Sequence[int]]
"""Examples by [true class][predicted class]."""


def right(confusion: Matrix) -> tuple[int, int]:
    """(correct, all) examples."""
    return sum(row[index] for index, row in enumerate(confusion)), sum(map(sum, confusion))


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study as it is opened: what its parent run says."""

    name: str
    """The experiment's."""
    uid: str
    kind: Kind = "study"
    """`train` has no parent run and no trials beside one another."""
    text: str
    """The study file as it was."""
    definition: dict[str, Any]
    facts: dict[str, str]
    """Tags: device, versions, git commit, the split's hash."""
    dataset: str
    dataset_digest: str
    dataset_source: str
    sizes: dict[str, int]
    classes: tuple[str, ...]
    validation_labels: bytes = b""
    """The true class of every validation example in the split's order, one byte each; of a
    regression the true values, float32."""
    continued: bool = False
    """Whether trials of it are on record already."""
    set_aside: str | None = None
    """Where --fresh put an older study away: the suffix of its name."""

    @property
    def environment(self) -> dict[str, str]:
        """Of the trials that are trained while it is open."""
        return {name: self.facts[name] for name in ENVIRONMENT if name in self.facts}


@dataclass(frozen=True, kw_only=True)
class TestReading:
    """What an opening of the test set showed of one trial: for which selection, when."""

    __test__ = False  # no test class, whatever pytest thinks of its name

    selection: str
    """Hash of the frozen selection."""
    number: int
    """The trial."""
    time: float
    """Unix time."""
    loss: float
    confusion: tuple[tuple[int, ...], ...]
    run: str = ""
    """The uid of the run whose weights were read; older records leave it out, where it is the
    trial's own."""
    look: int = 0
    """Which opening of this test set it was, over all studies; 0 in older records."""
    rmse: float | None = None
    """This and what follows: of a regression alone, in the target's own units."""
    mae: float | None = None
    r2: float | None = None
    interval: tuple[float, float] | None = None
    """95 % for the RMSE, by the bootstrap; `foretold` are the examples."""
    foretold: int = 0

    @property
    def score(self) -> float:
        """What a model is quoted by."""
        return self.accuracy if self.rmse is None else self.rmse

    @property
    def accuracy(self) -> float:
        """NaN of a regression."""
        correct, examples = right(self.confusion)
        return correct / examples if examples else float("nan")

    @property
    def examples(self) -> int:
        return right(self.confusion)[1] or self.foretold

    @property
    def figures(self) -> dict[str, float]:
        """By the names that they have in MLflow, after `test/`."""
        if self.rmse is None or self.mae is None or self.r2 is None:
            return {"loss": self.loss, "accuracy": self.accuracy}
        return {"loss": self.loss, "rmse": self.rmse, "mae": self.mae, "r2": self.r2}

    @property
    def class_accuracy(self) -> tuple[float, ...]:
        return class_accuracies(self.confusion)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TestReading:
        confusion = tuple(tuple(row) for row in values["confusion"])
        return cls(**values | {"confusion": confusion, "interval": _pair(values.get("interval"))})


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A trial's run as it is read back, or one that confirms a trial."""

    uid: str
    run_id: str
    number: int
    """The trial; of a confirming run, the one whose settings it has."""
    state: State
    spec: TrialSpec
    reason: str = ""
    """Why it failed or was interrupted."""
    worker: str = ""
    started: float = 0.0
    """Unix time."""
    ended: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The last value of each, by its name in MLflow."""
    epochs: tuple[EpochMetrics, ...] = ()
    best: EpochMetrics | None = None
    parameters: int = 0
    confusion: tuple[tuple[int, ...], ...] = ()
    interval: tuple[float, float] | None = None
    """Of a regression: 95 % for the validation RMSE."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it was trained on, by ENVIRONMENT; empty where an older version recorded it."""
    replay: str = ""
    """What the last replay of it found, in a word; empty where there was none."""

    @property
    def class_accuracy(self) -> tuple[float, ...]:
        return class_accuracies(self.confusion)

    @property
    def score(self) -> float:
        """What a trial is quoted by; it has a best epoch."""
        assert self.best is not None
        return self.best.score

    def value(self, objective: Objective) -> float | None:
        """The best epoch's objective; None for a run without one."""
        return self.metrics.get(f"best/{objective.replace('/', '_')}")


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """A study as it is read back: the parent run and its trials, by number."""

    name: str
    uid: str
    run_id: str
    experiment_id: str
    facts: dict[str, str]
    classes: tuple[str, ...]
    definition: dict[str, Any]
    readings: tuple[TestReading, ...]
    """What was read on the test set of each trial, the oldest opening's first."""
    started: float
    ended: float | None
    state: State = "COMPLETE"
    trials: Sequence[RunRecord] = field(default_factory=tuple)
    confirming: Sequence[RunRecord] = field(default_factory=tuple)
    """The best trials' settings again, with fresh seeds; every attempt."""

    @property
    def objective(self) -> Objective:
        return cast(Objective, self.definition["study"]["objective"])

    @property
    def score(self) -> Score:
        """What its trials are quoted by."""
        return score_of(self.definition)

    @property
    def is_grid_or_list(self) -> bool:
        """Whether its settings were all known beforehand: a grid or a list."""
        return self.definition["study"].get("sampler") in GRID_OR_LIST

    @property
    def test_name(self) -> str:
        """`test`, or `stand-in` where that was held out of the training part beside a test part."""
        own = self.definition.get("data", {}).get("own_test", True)
        return "test" if own else "stand-in"

    @property
    def looks(self) -> int:
        """How often this study opened the test set; once for all trials of a grid or list."""
        return len({reading.selection for reading in self.readings})

    @property
    def confirms(self) -> bool:
        """Whether its winner was to be trained again over fresh seeds."""
        return self.facts.get(CONFIRM, UNCONFIRMED) != UNCONFIRMED

    def reading_of(self, run: RunRecord) -> TestReading | None:
        """What the test set showed of the weights of `run`, if it was read for them."""
        for each in self.readings:
            own = each.number == run.number and CONFIRMING not in run.uid
            if each.run == run.uid or (not each.run and own):
                return each
        return None

    def best_first(self) -> list[RunRecord]:
        """Complete trials by the objective, the earlier of equals first."""
        ranked = []
        for run in self.trials:
            value = run.value(self.objective)
            if run.state == "COMPLETE" and value is not None:
                ranked.append((sign_of(self.objective) * value, run.number, run))
        return [run for *_, run in sorted(ranked, key=lambda entry: entry[:2])]


def trial_document(
    spec: TrialSpec, epochs: Sequence[EpochMetrics], worker: str, result: TrialResult | None
) -> dict[str, Any]:
    """`trial.json`: a trial's exact settings and curves in one file, so that reading is bulk."""
    document: dict[str, Any] = {
        "spec": spec.to_dict(),
        "worker": worker,
        "epochs": {
            name: column
            for name in EpochMetrics.__dataclass_fields__
            for column in [[getattr(metrics, name) for metrics in epochs]]
            if any(value is not None for value in column)
        },
    }
    if result is not None:
        document |= {
            "best_epoch": result.best.epoch,
            "stopped": result.stopped,
            "parameters": result.parameters,
            "seconds": result.seconds,
            "confusion": result.confusion,
        }
        document |= {"interval": result.interval} if result.interval else {}
    return document


def read_document(document: dict[str, Any]) -> dict[str, Any]:
    """The fields of a RunRecord that `trial.json` holds."""
    columns = document["epochs"]
    epochs = tuple(
        EpochMetrics(**dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    )
    best = [metrics for metrics in epochs if metrics.epoch == document.get("best_epoch")]
    return {
        "worker": document["worker"],
        "epochs": epochs,
        "best": best[0] if best else None,
        "parameters": document.get("parameters", 0),
        "confusion": tuple(tuple(row) for row in document.get("confusion", ())),
        "interval": _pair(document.get("interval")),
    }


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))
