"""The best of n trials, as it is to be expected: how many trials were worth running.

The estimator: the mean of the best over all choices of n of the N trials, without replacement. It
is unbiased for trials that are drawn independently (R. Tang and others, "Showing Your Work Doesn't
Always Work", ACL 2020); with replacement (J. Dodge and others, "Show Your Work", EMNLP 2019) it
would fall short.

Of a sampler that learns, as TPE does, trials are not exchangeable: early ones are worse than late
ones. What is said here is of n trials drawn from all that ran, not of stopping after the first n;
so the course that the search really took is told beside it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.metrics import Z_95, higher_is_better, format_objective
from harness.results import Objective
from harness.stats.proportions import wilson
from harness.tracking.types import RunRecord, StudyRun, count_correct

MOST_POINTS = 1000
"""Of the curve that is kept."""
FEWEST = 5
"""Trials; of fewer nothing is said."""
TOLD = (5, 10, 20, 50, 100, 200, 500, 1000)
"""Values of n that the verdict tells: the last FEW below N."""
FEW = 3
ONE_ERROR = 0.6827
"""The confidence of an interval that reaches one standard error either way."""
OF_LOSS = 0.01
"""The share of a loss that may be missing to the best."""
SPREAD = (0.05, 0.95)
"""Quantiles of the best of n that are told beside its mean."""


@dataclass(frozen=True)
class ExpectedBest:
    """Of the trials that gave a result; everything by n is at index n - 1."""

    objective: Objective
    mean: tuple[float, ...]
    """The expected best of n; the last is the best of all."""
    low: tuple[float, ...]
    """5 % of the choices of n have no greater best."""
    high: tuple[float, ...]
    """95 % have no greater best."""
    course: tuple[float, ...]
    """The best of the n trials that were asked for first."""
    tolerance: float
    """What may be missing to the best of all: of an accuracy one standard error (by Wilson's
    interval), as in the one-standard-error rule of L. Breiman and others, "Classification and
    Regression Trees", 1984, section 3.4.3: less is not known of the best itself; of an RMSE one
    standard error too, by its bootstrapped interval. Of a loss or MAE, whose error is not on
    record, a hundredth of it, which is a convention."""
    of_error: bool = True
    """Whether the tolerance is a standard error."""

    @property
    def trials(self) -> int:
        return len(self.mean)

    @property
    def best(self) -> float:
        return self.mean[-1]

    @property
    def enough(self) -> int:
        """The smallest n whose expected best is within the tolerance of the best of all."""
        near = (n for n, mean in enumerate(self.mean, 1) if abs(self.best - mean) <= self.tolerance)
        return next(near)

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """(n, expected best) for a metric with steps: all n, or the first ones and then ever fewer,
        MOST_POINTS at most."""
        steps, dense = np.arange(1, self.trials + 1), MOST_POINTS // 2
        if self.trials > MOST_POINTS:
            rest = np.geomspace(dense, self.trials, MOST_POINTS - dense + 1).round().astype(int)
            steps = np.unique(np.concatenate([steps[:dense], rest]))
        return tuple((n, self.mean[n - 1]) for n in steps.tolist())

    @property
    def metric(self) -> str:
        """The curve's name in MLflow."""
        return f"expected_best/{self.objective.replace('/', '_')}"

    def metrics(self) -> dict[str, float]:
        """For MLflow, beside the curve."""
        return {
            "expected_best/trials_enough": self.enough,
            "expected_best/tolerance": self.tolerance,
        }

    @property
    def text(self) -> str:
        """For the verdict."""
        told = [n for n in TOLD if n < self.trials][-FEW:]
        means = [f"{self.written(self.mean[n - 1])} of {n}" for n in told]
        means.append(f"{self.written(self.best)} of all {self.trials}")
        return f"expected {', '.join(means)}; {self.judged}"

    @property
    def judged(self) -> str:
        """How many trials would have been enough, and how many of them in the order they ran."""
        by = "one standard error" if self.of_error else f"{100 * OF_LOSS:g} %"
        within = format_objective(self.tolerance, self.objective)
        if self.enough == self.trials:
            return f"no fewer are expected within {within} of the best ({by})"
        return (
            f"{self.enough} drawn at random are expected within {within} of the best "
            f"({by}), the first {self.enough} that ran came to "
            f"{self.written(self.course[self.enough - 1])}"
        )

    def written(self, value: float) -> str:
        """Four digits; of a loss that diverged, what it takes."""
        loss = self.objective in ("val/accuracy", "val/loss")
        return f"{value:.3g}" if loss and abs(value) >= 1000 else format_objective(value, self.objective)

    def to_dict(self) -> dict[str, Any]:
        return {
            "n": [n for n, _ in self.curve],
            "mean": [mean for _, mean in self.curve],
            "enough": self.enough,
            "tolerance": self.tolerance,
        }


def expected(study: StudyRun) -> ExpectedBest | None:
    """None of a grid or list, which was decided on as a whole, and of fewer than FEWEST results.

    Complete trials count by their best epoch; pruned ones by the best they had reached, a lower
    bound of what they would have come to, and by no more than the champion has, for they are not
    eligible. Failed and interrupted trials gave nothing and do not count.
    """
    ranked, higher = study.rank_trials(), higher_is_better(study.objective)
    if study.is_grid_or_list or not ranked:
        return None
    values, error = _values(study, ranked[0]), _standard_error(study, ranked[0])
    if len(values) < FEWEST or (higher and error is None):
        return None
    mean, (low, high) = expected_best(values, higher), quantiles_of_best(values, higher)
    return ExpectedBest(
        objective=study.objective,
        mean=tuple(mean),
        low=tuple(low),
        high=tuple(high),
        course=tuple(itertools.accumulate(values, max if higher else min)),
        tolerance=OF_LOSS * abs(mean[-1]) if error is None else error,
        of_error=error is not None,
    )


def _standard_error(study: StudyRun, run: RunRecord) -> float | None:
    """Of the objective of a trial; None where it is not known."""
    if study.objective == "val/rmse" and run.interval is not None:
        return (run.interval[1] - run.interval[0]) / (2 * Z_95)
    correct, examples = count_correct(run.confusion)
    if not higher_is_better(study.objective) or not examples:
        return None
    below, above = wilson(correct, examples, ONE_ERROR)
    return (above - below) / 2


def expected_best(values: Sequence[float], higher_is_better: bool) -> list[float]:
    """The expected best of n of the N values, drawn without replacement, for n = 1 to N.

    E[max of n] = sum over i of C(i - 1, n - 1) / C(N, n) * v(i), v rising (Tang and others, 2020).
    Summed by parts, with F(i) = C(i, n) / C(N, n), the share of choices from the i least: v(N) less
    the sum of F(i) (v(i + 1) - v(i)). All terms have one sign, and F of n is that of n - 1 times
    (i - n + 1) / (N - n + 1), at most 1: nothing overflows, nothing cancels.
    """
    rising = _rising(values, higher_is_better)
    gaps = np.diff(rising)
    found = [float(rising[-1] - share[:-1] @ gaps) for share in _shares(len(rising))]
    return found if higher_is_better else [-value for value in found]


def quantiles_of_best(
    values: Sequence[float], higher_is_better: bool
) -> tuple[list[float], list[float]]:
    """For n = 1 to N, what the best of n is no greater than in 5 % and in 95 % of the choices."""
    rising = _rising(values, higher_is_better)
    last = len(rising) - 1
    rows = [np.searchsorted(share, SPREAD).clip(max=last) for share in _shares(len(rising))]
    low, high = ([float(rising[row[end]]) for row in rows] for end in (0, 1))
    return (low, high) if higher_is_better else ([-v for v in high], [-v for v in low])


def _values(study: StudyRun, champion: RunRecord) -> list[float]:
    """The objective of every trial that gave a result, by number."""
    best = champion.objective_value(study.objective)
    assert best is not None  # it is complete
    worse_of = min if higher_is_better(study.objective) else max
    values = []
    for run in sorted(study.trials, key=lambda run: run.number):
        value = run.objective_value(study.objective)
        if run.state in ("COMPLETE", "PRUNED") and value is not None and math.isfinite(value):
            values.append(worse_of(value, best))
    return values


def _rising(values: Sequence[float], higher_is_better: bool) -> npt.NDArray[np.float64]:
    """From the worst to the best; the other way round, the sign too, where lower is better."""
    found = np.array(values, np.float64)
    return np.sort(found if higher_is_better else -found)


def _shares(count: int) -> Iterator[npt.NDArray[np.float64]]:
    """For n = 1 to `count`: [count], the share of choices of n that are of the i least alone, at
    index i - 1."""
    least, share = np.arange(1, count + 1), np.ones(count)
    for n in range(1, count + 1):
        share = share * (np.maximum(least - n + 1, 0) / (count - n + 1))
        yield share
