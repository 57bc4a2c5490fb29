"""What a recorded trial's Optuna attributes say: its settings, its ordinal, its interruption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState


def find_ordinal(trials: Sequence[FrozenTrial], number: int) -> int:
    """A trial's ordinal, also if its driver died before it was recorded."""
    ordinal: int | None = trials[number].user_attrs.get("ordinal")
    if ordinal is not None:
        return ordinal
    return sum("retry_of" not in trial.user_attrs for trial in trials[:number])


def get_sampled_params(trial: FrozenTrial) -> dict[str, Any] | None:
    """A trial's parameters; None if its driver died before all of them were sampled."""
    if trial.user_attrs.get("retry_of") is None:
        return trial.params if "ordinal" in trial.user_attrs else None
    if "drawn" in trial.user_attrs:
        return trial.params
    fixed_params: dict[str, Any] = trial.system_attrs.get("fixed_params", {})
    return fixed_params or None  # empty for the retry of an incompletely sampled trial


def get_value(trial: FrozenTrial) -> float | None:
    """The objective of a trial, the first of several; None for one without a result."""
    return trial.values[0] if trial.values else None


def is_started(study: optuna.Study) -> bool:
    """Whether any trial's settings were sampled, so that it may have been trained."""
    return any(get_sampled_params(trial) is not None for trial in study.get_trials(deepcopy=False))


def is_interrupted(trial: FrozenTrial) -> bool:
    """Whether a trial ended without a result and its settings were enqueued again."""
    return trial.state == TrialState.FAIL and trial.user_attrs.get("successor") is not None
