"""The expected best score of n random trials: how many trials were worth running.

The estimate is the mean of the best over all choices of n of the N trials, without replacement. It
is unbiased for trials that are drawn independently (R. Tang and others, "Showing Your Work Doesn't
Always Work", ACL 2020). Drawing with replacement (J. Dodge and others, "Show Your Work", EMNLP
2019) would underestimate it.

With a sampler that learns, such as TPE, trials are not exchangeable: early ones are worse than late
ones. The estimate is for n trials drawn from all that ran, and not for stopping after the first n.
So the search's own running best is reported with it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.metrics import (
    IN_TARGET_UNITS,
    OBJECTIVE_NAMES,
    estimate_standard_error,
    format_objective,
    is_higher_better,
)
from harness.results import Objective
from harness.stats.best_of_n import compute_best_of_n_means, compute_best_of_n_quantiles
from harness.tracking.types import RunRecord, StudyRun

MAX_CURVE_POINTS = 1000
"""Points of the curve that is recorded."""
MIN_TRIALS = 5
"""With fewer results there is no estimate."""
REPORTED_N = (5, 10, 20, 50, 100, 200, 500, 1000)
"""Values of n in the summary: the last MAX_REPORTED of those below N."""
MAX_REPORTED = 3
LOSS_TOLERANCE = 0.01
"""The tolerance for a loss or MAE, as a share of the best value."""


@dataclass(frozen=True)
class ExpectedBest:
    """The expected best of n of the trials that gave a result; entry n - 1 is for n."""

    objective: Objective
    mean: tuple[float, ...]
    """The expected best of n; the last entry is the best of all trials."""
    low: tuple[float, ...]
    """The 5 % quantile of the best of n."""
    high: tuple[float, ...]
    """The 95 % quantile."""
    running_best: tuple[float, ...]
    """The best of the first n trials of the search."""
    tolerance: float
    """Tolerance for "as good as the best".

    For accuracy and RMSE it is one standard error of the best trial's score, half the width of a
    68 % confidence interval: the best score is not known more precisely. This is the
    one-standard-error rule of L. Breiman and others, "Classification and Regression Trees", 1984,
    section 3.4.3. Another interval method in `stats.proportions.compute_interval` would change it.
    For a loss or MAE, whose error is not recorded, it is LOSS_TOLERANCE, a convention."""
    is_standard_error: bool = True
    """Whether the tolerance is a standard error."""

    @property
    def trials(self) -> int:
        return len(self.mean)

    @property
    def best(self) -> float:
        return self.mean[-1]

    @property
    def sufficient_trials(self) -> int:
        """The smallest n whose expected best is within the tolerance of the best of all trials."""
        near = (n for n, mean in enumerate(self.mean, 1) if abs(self.best - mean) <= self.tolerance)
        return next(near)

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """(n, expected best) as the steps of an MLflow metric.

        With more than MAX_CURVE_POINTS trials, the first half of the points has every n, the rest
        is spaced geometrically.
        """
        steps, dense = np.arange(1, self.trials + 1), MAX_CURVE_POINTS // 2
        if self.trials > MAX_CURVE_POINTS:
            rest = np.geomspace(dense, self.trials, MAX_CURVE_POINTS - dense + 1)
            steps = np.unique(np.concatenate([steps[:dense], rest.round().astype(int)]))
        return tuple((n, self.mean[n - 1]) for n in steps.tolist())

    @property
    def metric_name(self) -> str:
        """The curve's name in MLflow."""
        return f"expected_best/{self.objective.replace('/', '_')}"

    def metrics(self) -> dict[str, float]:
        """Return MLflow metrics, apart from the curve."""
        return {
            "expected_best/trials_enough": self.sufficient_trials,
            "expected_best/tolerance": self.tolerance,
        }

    def describe(self) -> str:
        """Return one sentence for the summary."""
        reported = [n for n in REPORTED_N if n < self.trials][-MAX_REPORTED:]
        means = [f"{self.format_value(self.mean[n - 1])} of {n}" for n in reported]
        means.append(f"{self.format_value(self.best)} of all {self.trials}")
        name = OBJECTIVE_NAMES[self.objective]
        return f"expected {name} {', '.join(means)}; {self.describe_sufficient_trials()}"

    def describe_sufficient_trials(self) -> str:
        """Return how many random trials would suffice, and the search's best after as many."""
        n = self.sufficient_trials
        kind = "one standard error" if self.is_standard_error else f"{100 * LOSS_TOLERANCE:g} %"
        tolerance = format_objective(self.tolerance, self.objective)
        if n == self.trials:
            return f"no fewer are expected within {tolerance} of the best ({kind})"
        reached = self.format_value(self.running_best[n - 1])
        if n == 1:
            return (
                f"one trial drawn at random is expected within {tolerance} of the best ({kind}); "
                f"the first trial reached {reached}"
            )
        return (
            f"{n} drawn at random are expected within {tolerance} of the best ({kind}); the first "
            f"{n} of the search reached {reached}"
        )

    def format_value(self, value: float) -> str:
        """Four digits; exponential notation for the large loss of a diverged trial."""
        has_four_decimals = self.objective not in IN_TARGET_UNITS
        if has_four_decimals and abs(value) >= 1000:
            return f"{value:.3g}"
        return format_objective(value, self.objective)

    def to_dict(self) -> dict[str, Any]:
        return {
            "n": [n for n, _ in self.curve],
            "mean": [mean for _, mean in self.curve],
            "enough": self.sufficient_trials,
            "tolerance": self.tolerance,
        }


def compute_expected_best(study: StudyRun) -> ExpectedBest | None:
    """Compute the expected best of a search; None for a grid or list, whose size was fixed before.

    Also None with fewer than MIN_TRIALS results.

    A complete trial counts by its best epoch. A pruned trial counts by the best epoch that it had
    reached, a lower bound of its result, and by no more than the champion has, because it could
    not have been chosen. Failed and interrupted trials do not count.
    """
    ranked, higher = study.rank_trials(), is_higher_better(study.objective)
    if study.is_grid_or_list or not ranked:
        return None
    values = _collect_values(study, ranked[0])
    error = estimate_standard_error(study.objective, ranked[0])
    is_accuracy = study.objective == "val/accuracy"
    if len(values) < MIN_TRIALS or (is_accuracy and error is None):
        return None
    mean = compute_best_of_n_means(values, higher)
    low, high = compute_best_of_n_quantiles(values, higher)
    return ExpectedBest(
        objective=study.objective,
        mean=tuple(mean),
        low=tuple(low),
        high=tuple(high),
        running_best=tuple(itertools.accumulate(values, max if higher else min)),
        tolerance=LOSS_TOLERANCE * abs(mean[-1]) if error is None else error,
        is_standard_error=error is not None,
    )


def _collect_values(study: StudyRun, champion: RunRecord) -> list[float]:
    """Return the objective of every trial that gave a result, by number."""
    best = champion.objective_value(study.objective)
    assert best is not None  # it is complete
    worse_of = min if is_higher_better(study.objective) else max
    values = []
    for run in sorted(study.trials, key=lambda run: run.number):
        value = run.objective_value(study.objective)
        if run.state in ("COMPLETE", "PRUNED") and value is not None and math.isfinite(value):
            values.append(worse_of(value, best))
    return values
