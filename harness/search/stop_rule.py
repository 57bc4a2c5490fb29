"""When a search ends before its last trial: [study] stop_when, judged after each trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from harness.config.study_tables import parse_patience
from harness.metrics import format_objective, is_higher_better
from harness.results import Objective
from harness.search.frozen_trial import is_interrupted
from harness.stats.best_of_n import compute_best_of_n_mean

MIN_TRIALS = 20
"""The fewest results for `settled`: twice the random trials that TPE starts with."""
LOSS_TOLERANCE = 0.01
"""The tolerance of an objective without a standard error, as a share of the best value."""
ERROR_ATTRIBUTE = "standard_error"
"""The attribute of a recorded trial with the standard error of its objective."""


@dataclass(frozen=True)
class Stop:
    """Why a search ended early, as it is recorded."""

    rule: str
    """The value of [study] stop_when."""
    trials: int
    """The number of trials of the stopped search, with those that ran when the rule applied."""
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, recorded: Mapping[str, Any] | None, rule: str) -> Stop | None:
        """Read what was recorded; None if the study has another rule by now."""
        return None if recorded is None or recorded["rule"] != rule else cls(**recorded)


def find_stop_reason(rule: str, trials: Sequence[FrozenTrial], objective: Objective) -> str:
    """Return the reason to stop a search with these trials; empty to continue."""
    if rule == "never":
        return ""
    values = list_values(trials, objective)
    patience = parse_patience(rule)
    if patience is not None:
        return _find_stagnation(values, patience, objective)
    return _find_settled(values, _find_tolerance(trials, objective), objective)


def list_values(trials: Sequence[FrozenTrial], objective: Objective) -> list[float]:
    """Return the objective of each trial with a result, in the order in which they ended.

    A pruned trial counts by its best epoch, but as no better than the best complete trial.
    """
    best_of = max if is_higher_better(objective) else min
    worse_of = min if is_higher_better(objective) else max
    complete = [trial.value for trial in trials if trial.state == TrialState.COMPLETE]
    best = best_of((value for value in complete if value is not None), default=None)
    ended = [trial for trial in trials if trial.datetime_complete and not is_interrupted(trial)]
    values = []
    for trial in sorted(ended, key=lambda trial: (trial.datetime_complete, trial.number)):
        value = trial.value if trial.state == TrialState.COMPLETE else None
        if trial.state == TrialState.PRUNED and trial.intermediate_values and best is not None:
            value = worse_of(best_of(trial.intermediate_values.values()), best)
        if value is not None and math.isfinite(value):
            values.append(value)
    return values


def _find_stagnation(values: Sequence[float], patience: int, objective: Objective) -> str:
    if len(values) <= patience:
        return ""
    best_of = max if is_higher_better(objective) else min
    if values.index(best_of(values)) >= len(values) - patience:
        return ""
    return f"no better trial in the last {patience}"


def _find_settled(values: Sequence[float], tolerance: float | None, objective: Objective) -> str:
    """Compare half of the trials with all of them: the first half, and any half.

    The expected best of n random trials grows ever more slowly with n. So if the second half of
    the trials gains less than the tolerance, as many trials again gain even less. The first half
    shows whether a sampler that learns is still climbing.
    """
    if len(values) < MIN_TRIALS or tolerance is None:
        return ""
    higher, half = is_higher_better(objective), len(values) // 2
    best_of = max if higher else min
    best, first = best_of(values), best_of(values[:half])
    expected = compute_best_of_n_mean(values, half, higher)
    if max(abs(best - first), abs(best - expected)) > tolerance:
        return ""
    precision = format_objective(tolerance, objective)
    return f"half as many trials would come within {precision} of the best score, its precision"


def _find_tolerance(trials: Sequence[FrozenTrial], objective: Objective) -> float | None:
    """Return the standard error of the best trial's objective; of a loss or MAE a share of it.

    A trial that ran under another rule has no standard error, so the best of the others counts.
    """
    complete = [each for each in trials if each.state == TrialState.COMPLETE]
    has_error = objective in ("val/accuracy", "val/rmse")
    if has_error:
        complete = [each for each in complete if each.user_attrs.get(ERROR_ATTRIBUTE) is not None]
    if not complete:
        return None
    best = (max if is_higher_better(objective) else min)(complete, key=_get_value)
    if has_error:
        return float(best.user_attrs[ERROR_ATTRIBUTE])
    return LOSS_TOLERANCE * abs(_get_value(best))


def _get_value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
