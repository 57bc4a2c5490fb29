"""A study's objectives in Optuna: their directions, and a trial's values."""

from __future__ import annotations

from typing import Any, cast

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from harness.config.limits import COSTS
from harness.config.schema import StudyConfig
from harness.metrics import is_higher_better
from harness.results import Objective, TrialResult
from harness.search.limits import COSTS_ATTRIBUTE


def list_directions(config: StudyConfig) -> list[StudyDirection]:
    """Return Optuna's direction of each objective."""
    up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    return [up if is_higher_better(each) else down for each in config.objectives]


def list_values(config: StudyConfig, trial: FrozenTrial, result: TrialResult) -> list[float]:
    """Return each objective of a complete trial, at its best epoch by the first."""
    costs: dict[str, Any] = trial.user_attrs.get(COSTS_ATTRIBUTE, {})
    return [
        costs[name] if name in COSTS else result.best.get_objective(cast(Objective, name))
        for name in config.objectives
    ]
