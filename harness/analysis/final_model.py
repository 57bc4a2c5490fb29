"""The final model of a study with folds: one network trained again on all of their examples."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from harness.errors import StoreError
from harness.tracking.raw_types import FINAL_FILE, FINAL_WEIGHTS_FILE
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


@dataclass(frozen=True, kw_only=True)
class FinalModel:
    """How the final model was trained. Stored as JSON by field name on the run of the champion."""

    epochs: int
    """As many as the best epoch of the folds' mean."""
    examples: int
    """Training examples: those of all folds."""
    seconds: float
    train_loss: float
    """Of the last epoch."""

    def to_json(self) -> bytes:
        """Return the content of FINAL_FILE."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> FinalModel:
        """Read what `to_json` wrote. Raises StoreError for other content."""
        try:
            values = json.loads(content)
            return cls(**{each.name: values[each.name] for each in fields(cls)})
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{FINAL_FILE} of a run cannot be read ({error}); run `harness doctor` to find "
                "the run"
            ) from error


def load_final_model(tracker: Tracker, run: RunRecord) -> FinalModel | None:
    """Return how the final model of a run was trained; None if it has none. Raises StoreError."""
    content = tracker.read_file(run.run_id, FINAL_FILE)
    return FinalModel.from_json(content) if content else None


def read_model_weights(tracker: Tracker, study: StudyRun, run: RunRecord) -> bytes:
    """Return the weights of a run's model: the final one, if the study trains one and the run has
    it; else those of the run, of all its folds. Raises StoreError if none were kept.
    """
    if study.is_retrained:
        weights = tracker.read_file(run.run_id, FINAL_WEIGHTS_FILE)
        if weights is not None:
            return weights
    return tracker.load_weights(run.uid)
