"""The ensemble of a study's trials in the Python API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.analysis.ensemble_facts import describe_members, describe_result
from harness.analysis.ensemble_record import EnsembleRecord
from harness.analysis.lookup import ENSEMBLE_NAME
from harness.analysis.summary import Summary
from harness.data.types import Array
from harness.tracking.test_reading import TestReading
from harness.workspace import Workspace

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, repr=False)
class StudyEnsemble:
    """An ensemble of a study's trials: `result.ensemble`.

    Examples:
        >>> result.ensemble.weights
        {4: 0.5, 7: 0.25, 9: 0.25}
        >>> result.ensemble.predict(frame)
    """

    record: EnsembleRecord
    """Everything that is recorded: members, results on each half of the validation set, costs."""
    summary: Summary
    workspace: Workspace
    tracking_uri: str

    @property
    def weights(self) -> Mapping[int, float]:
        """The share of each member in the mean, by the trial's number, the largest first."""
        return {member.number: member.weight for member in self.record.members}

    @property
    def test(self) -> TestReading | None:
        """The results on the test set, such as `test.accuracy`; None if it was not read."""
        return self.record.reading

    @property
    def model(self) -> str:
        """URI of the model, for `mlflow.pytorch.load_model`."""
        return self.summary.ensemble_uri

    def load_model(self) -> nn.Module:
        """Return the network in eval mode.

        It takes the same inputs as the champion, see `StudyResult.load_model`. It returns the
        logarithm of the mean probabilities [N, classes], or the mean numbers [N, 1] of a
        regression.
        """
        from harness.inference.recorded_model import load_recorded_model

        return load_recorded_model(self.workspace, self.tracking_uri, self._name).module

    def predict(self, inputs: Any, *, probabilities: bool = False) -> Array:
        """Return the ensemble's predictions, as `StudyResult.predict` returns the champion's."""
        from harness.api.predictions import predict_inputs

        return predict_inputs(self.workspace, self.tracking_uri, self._name, inputs, probabilities)

    @property
    def _name(self) -> str:
        return f"{self.summary.study.name}{ENSEMBLE_NAME}"

    def __repr__(self) -> str:
        study = self.summary.study
        result = describe_result(self.record, study.score.tested, study.test_name)
        return f"StudyEnsemble({describe_members(self.record, named=True)}: {result})"
