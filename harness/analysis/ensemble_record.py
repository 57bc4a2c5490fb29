"""The recorded ensemble of a study's trials: its members, results and costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.analysis.confirmation import find_model_run
from harness.analysis.paired_tests import PairedTest
from harness.errors import StoreError
from harness.metrics import Score
from harness.tracking.raw_types import ENSEMBLE_FILE
from harness.tracking.test_reading import TestReading, parse_interval
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

ENSEMBLE_SUFFIX = "/ensemble"
"""The end of an ensemble's uid in the log of the test set, after that of its study."""
LARGE_BATCH = 256
"""The larger of the two batches for which the cost is measured."""


@dataclass(frozen=True)
class Member:
    """A trial in an ensemble."""

    number: int
    uid: str
    weight: float
    """Its share of the mean."""


@dataclass(frozen=True)
class EnsembleScores:
    """The ensemble and the champion on one half of the validation set, or on the test set."""

    examples: int
    score: float
    """Accuracy, or RMSE."""
    loss: float
    """Log loss, or the mean squared error in squared units of the target."""
    champion_score: float | None = None
    """None if the champion's predictions were not recorded."""
    champion_loss: float | None = None
    test: PairedTest | None = None
    """The champion against the ensemble, on the same examples."""


@dataclass(frozen=True)
class Cost:
    """What a prediction costs."""

    parameters: int
    """Of all different members."""
    milliseconds: float
    """For each example, one at a time, in PyTorch on one core of the CPU."""
    milliseconds_in_batch: float
    """For each example in batches of LARGE_BATCH."""


@dataclass(frozen=True, kw_only=True)
class EnsembleRecord:
    """An ensemble that was chosen by validation. Stored as JSON by field name."""

    basis: str
    """What it was chosen from, see `hash_basis`."""
    objective: str
    members: tuple[Member, ...]
    """The largest weight first."""
    candidates: int
    """The number of trials that it was chosen from."""
    champion: str
    """The uid of the run that it is compared with."""
    chosen: EnsembleScores
    """On the half of the validation set that chose the members."""
    judged: EnsembleScores
    """On the other half."""
    cost: Cost
    champion_cost: Cost
    interval: float | None = None
    """Half the width of the 90 % interval of a regression's predictions, from the second half."""
    problem: str = ""
    """Why it could not be exported; empty if it was."""
    reading: TestReading | None = None
    """Its result on the test set; None while that is sealed."""
    tested: EnsembleScores | None = None
    """The same beside the champion's."""

    @property
    def digest(self) -> str:
        """The SHA-256 of what determines the model."""
        values = [self.basis, *([each.uid, each.weight] for each in self.members)]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()

    def metrics(self, score: Score) -> dict[str, float]:
        """Return the MLflow metrics of the study's run."""
        values: dict[str, float] = {
            "ensemble/members": len(self.members),
            "ensemble/parameters": self.cost.parameters,
            "ensemble/milliseconds": self.cost.milliseconds,
            f"ensemble/{score.field_name}": self.judged.score,
        }
        figures = self.reading.figures if self.reading else {}
        values |= {f"ensemble/test_{name}": value for name, value in figures.items()}
        if self.tested is not None and self.tested.test is not None:
            values["ensemble/test_p_value"] = self.tested.test.p_value
        return values

    def to_json(self) -> bytes:
        """Return the content of ENSEMBLE_FILE."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> EnsembleRecord:
        """Read what `to_json` wrote. Raises StoreError for other content."""
        try:
            values = json.loads(content)
            scores = {
                name: None if values[name] is None else _parse_scores(values[name])
                for name in ("chosen", "judged", "tested")
            }
            reading = values["reading"]
            parsed = {
                "members": tuple(Member(**each) for each in values["members"]),
                "cost": Cost(**values["cost"]),
                "champion_cost": Cost(**values["champion_cost"]),
                "reading": None if reading is None else TestReading.from_dict(reading),
            }
            return cls(**values | scores | parsed)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{ENSEMBLE_FILE} of a run cannot be read ({error}); run `harness doctor` to find "
                "the run"
            ) from error


def _parse_scores(values: Mapping[str, Any]) -> EnsembleScores:
    test = values["test"]
    if test is not None:
        test = PairedTest(
            **test | {"mean_squared_errors": parse_interval(test["mean_squared_errors"])}
        )
    return EnsembleScores(**{**values, "test": test})


def hash_basis(study: StudyRun, champion: RunRecord) -> str:
    """Return the SHA-256 of what an ensemble is chosen from, and compared with."""
    uids = sorted(run.uid for run in study.rank_trials())
    model = find_model_run(study, champion).uid
    values = [study.ensemble_rule, champion.uid, model, *uids]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def load_ensemble(tracker: Tracker, study: StudyRun, champion: RunRecord) -> EnsembleRecord | None:
    """Return the recorded ensemble; None without one, or if it was chosen from other trials."""
    if not study.ensemble_rule:
        return None
    content = tracker.read_file(study.run_id, ENSEMBLE_FILE)
    record = EnsembleRecord.from_json(content) if content else None
    is_current = record is not None and record.basis == hash_basis(study, champion)
    return record if is_current else None
