"""A sampler that draws nothing: each trial gets the next point of the space's grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial


class Point(BaseSampler):
    """One point, for one trial.

    Optuna's GridSampler picks among the points that no trial has, as it finds them in the storage;
    here a trial's place in the study says which is its own, whatever was interrupted before.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._values[param_name]
