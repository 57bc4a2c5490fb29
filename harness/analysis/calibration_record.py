"""The calibration of a champion's probabilities, as it is recorded on its study's run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from harness.errors import StoreError
from harness.stats.calibration import CalibrationScores
from harness.tracking.raw_types import CALIBRATION_FILE
from harness.tracking.test_reading import TestReading
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


@dataclass(frozen=True, kw_only=True)
class CalibrationRecord:
    """The calibration of one model on its validation set. Stored as JSON by field name.

    `plain` is the network's own probabilities; `scaled` those divided by the temperature. Both are
    always measured: `[study] calibrated` only decides which of them the registered model gives.
    """

    run: str
    """The uid of the model's run."""
    temperature: float
    """Fitted on the whole validation set."""
    plain: CalibrationScores
    scaled: CalibrationScores
    """Of five folds, each scaled by the temperature of the other four."""
    plain_threshold: float | None
    """The least probability of a class in a 90 % set; None below 9 validation examples."""
    scaled_threshold: float | None

    def get_threshold(self, is_calibrated: bool) -> float | None:
        """Return the threshold of the sets of a model that is calibrated or not."""
        return self.scaled_threshold if is_calibrated else self.plain_threshold

    def get_scores(self, is_calibrated: bool) -> CalibrationScores:
        """Return the validation scores of a model that is calibrated or not."""
        return self.scaled if is_calibrated else self.plain

    def metrics(self, is_calibrated: bool, reading: TestReading | None) -> dict[str, float]:
        """Return the MLflow metrics of the study's run; those of the test set are the model's."""
        values = {
            "calibration/temperature": self.temperature,
            "calibration/ece": self.plain.ece,
            "calibration/brier": self.plain.brier,
            "calibration/scaled_ece": self.scaled.ece,
            "calibration/scaled_brier": self.scaled.brier,
        }
        if (tested := read_test_scores(reading, is_calibrated)) is not None:
            values |= {"calibration/test_ece": tested.ece, "calibration/test_brier": tested.brier}
            if tested.coverage is not None and tested.set_size is not None:
                values["calibration/test_coverage"] = tested.coverage
                values["calibration/test_set_size"] = tested.set_size
        return values

    def to_json(self) -> bytes:
        """Return the content of CALIBRATION_FILE."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> CalibrationRecord:
        """Read what `to_json` wrote. Raises StoreError for other content."""
        try:
            values = json.loads(content)
            known = {each.name: values[each.name] for each in fields(cls)}
            scores = {name: parse_scores(values[name]) for name in ("plain", "scaled")}
            if not float(known["temperature"]) > 0:
                raise ValueError(f"temperature is {known['temperature']}")
            return cls(**known | scores)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{CALIBRATION_FILE} of a run cannot be read ({error}); run `harness doctor` to "
                "find the run"
            ) from error


def parse_scores(values: Mapping[str, Any]) -> CalibrationScores:
    """Read scores as they are stored; a later version may have added to them."""
    known = {each.name for each in fields(CalibrationScores)}
    return CalibrationScores.from_dict({key: values[key] for key in known & values.keys()})


def read_test_scores(reading: TestReading | None, is_calibrated: bool) -> CalibrationScores | None:
    """Return a model's scores on the test set; None if they were not recorded with its reading."""
    if reading is None or reading.calibration is None:
        return None
    return parse_scores(reading.calibration["scaled" if is_calibrated else "plain"])


def load_calibration(
    tracker: Tracker, study: StudyRun, model_run: RunRecord
) -> CalibrationRecord | None:
    """Return the recorded calibration of a run's model; None without one, or of another model."""
    if not study.classes:
        return None
    content = tracker.read_file(study.run_id, CALIBRATION_FILE)
    record = CalibrationRecord.from_json(content) if content else None
    return record if record is not None and record.run == model_run.uid else None
