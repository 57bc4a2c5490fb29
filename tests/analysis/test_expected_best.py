"""The expected best of n trials: against enumeration, closed forms and simulation."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy.special import comb
from scipy.stats import norm

from harness.analysis.expected_best import (
    MAX_CURVE_POINTS,
    ExpectedBest,
    compute_expected_best,
)
from harness.results import count_correct
from harness.stats.best_of_n import compute_best_of_n_means, compute_best_of_n_quantiles
from harness.stats.proportions import compute_interval
from harness.tracking.types import StudyRun
from tests.reports.list_study import make_list_study
from tests.support import synthetic_study


@pytest.fixture(scope="module")
def study() -> StudyRun:
    return synthetic_study.make_study(60, epochs=5)


@pytest.fixture(scope="module")
def expected_best(study: StudyRun) -> ExpectedBest:
    result = compute_expected_best(study)
    assert result is not None
    return result


VALUES = [0.91, 0.3, 0.88, 0.88, 0.9, 0.1, 0.905]


def test_means_and_quantiles_equal_those_over_every_choice() -> None:
    for better, higher in ((max, True), (min, False)):
        choices = [list(itertools.combinations(VALUES, n)) for n in range(1, len(VALUES) + 1)]
        means = [np.mean([better(chosen) for chosen in each]) for each in choices]
        assert compute_best_of_n_means(VALUES, higher) == pytest.approx(means, abs=1e-12)
        low, high = compute_best_of_n_quantiles(VALUES, higher)
        for n, each in enumerate(choices):
            best = np.array([better(chosen) for chosen in each])
            # The smallest value at or above the quantile; for a loss, from above.
            if higher:
                ends = [np.quantile(best, q, method="inverted_cdf") for q in (0.05, 0.95)]
            else:
                ends = [-np.quantile(-best, q, method="inverted_cdf") for q in (0.95, 0.05)]
            assert [low[n], high[n]] == pytest.approx(ends)


def test_means_equal_the_formula_of_the_paper() -> None:
    """The weights of Tang et al., exactly and in the floats of their code."""
    rising = sorted(np.random.default_rng(0).random(40).tolist())
    means = compute_best_of_n_means(rising, True)
    for n in (1, 2, 7, 39, 40):
        chances = [Fraction(math.comb(i - 1, n - 1), math.comb(40, n)) for i in range(1, 41)]
        exact = sum(chance * Fraction(value) for chance, value in zip(chances, rising, strict=True))
        assert means[n - 1] == pytest.approx(float(exact), rel=1e-14)
        floats = comb(np.arange(40), n - 1) / comb(40, n)
        assert means[n - 1] == pytest.approx(float(floats @ rising), rel=1e-12)


@pytest.mark.parametrize("count", [2, 50, 2000])
def test_means_of_whole_numbers_equal_the_closed_form(count: int) -> None:
    """The mean of the greatest of n of the numbers 1 to N is n (N + 1) / (n + 1)."""
    numbers = np.random.default_rng(0).permutation(count) + 1
    expected = [n * (count + 1) / (n + 1) for n in range(1, count + 1)]
    assert compute_best_of_n_means(numbers.tolist(), True) == pytest.approx(expected, rel=1e-12)
    least = [(count + 1) / (n + 1) for n in range(1, count + 1)]
    assert compute_best_of_n_means(numbers.tolist(), False) == pytest.approx(least, rel=1e-9)


def test_the_mean_is_unbiased_unlike_sampling_with_replacement() -> None:
    """The greatest of 5 normal values has the mean 1.16296 (Tippett, 1925)."""
    samples = np.random.default_rng(0).standard_normal((20_000, 10))
    ours = np.array([compute_best_of_n_means(row.tolist(), True)[4] for row in samples[:8000]])
    assert ours.mean() == pytest.approx(1.16296, abs=4 * ours.std() / math.sqrt(len(ours)))
    share = (np.arange(11) / 10) ** 5
    biased = np.sort(samples) @ np.diff(share)
    assert biased.mean() < 1.16296 - 10 * biased.std() / math.sqrt(len(biased))
    density = norm.expect(lambda x: 5 * x * norm.cdf(x) ** 4)
    assert density == pytest.approx(1.16296, abs=1e-5)


def test_complete_and_pruned_trials_count(study: StudyRun, expected_best: ExpectedBest) -> None:
    states = [run.state for run in study.trials]
    assert expected_best.trials == states.count("COMPLETE") + states.count("PRUNED") < len(states)
    champion = study.rank_trials()[0]
    assert champion.best is not None
    best = champion.best.val_accuracy
    assert expected_best.best == best
    ended = [run for run in study.trials if run.state in ("COMPLETE", "PRUNED")]
    first = [run.best.val_accuracy for run in ended if run.best]
    assert expected_best.running_best == tuple(np.maximum.accumulate(first))
    assert expected_best.mean[0] == pytest.approx(np.mean(first))
    # A pruned trial cannot be the best, even if it has the highest score.
    lucky = replace(
        next(run for run in ended if run.state == "PRUNED"), metrics={"best/val_accuracy": 1.0}
    )
    trials = [lucky if run.number == lucky.number else run for run in study.trials]
    changed = compute_expected_best(replace(study, trials=tuple(trials)))
    assert changed is not None
    assert changed.best == best
    assert changed.mean[0] > expected_best.mean[0]


def test_the_number_of_sufficient_trials(study: StudyRun, expected_best: ExpectedBest) -> None:
    low, high = compute_interval(
        *count_correct(study.rank_trials()[0].confusion), confidence=0.6827
    )
    assert expected_best.tolerance == (high - low) / 2
    n = expected_best.sufficient_trials
    assert (
        expected_best.best - expected_best.mean[n - 1]
        <= expected_best.tolerance
        < expected_best.best - expected_best.mean[n - 2]
    )
    wide = replace(expected_best, tolerance=1.0)
    assert wide.sufficient_trials == 1
    none = replace(expected_best, tolerance=0.0)
    assert none.sufficient_trials == expected_best.trials
    assert (
        none.describe_sufficient_trials()
        == "no fewer are expected within 0.0000 of the best (one standard error)"
    )


def test_the_description_has_the_mean_and_the_running_best(expected_best: ExpectedBest) -> None:
    result, mean = expected_best, expected_best.mean
    n = result.sufficient_trials
    assert result.describe() == (
        f"expected accuracy {mean[9]:.4f} of 10, {mean[19]:.4f} of 20, {mean[49]:.4f} of "
        f"50, {result.best:.4f} of all {result.trials}; {n} drawn at random are expected within "
        f"{result.tolerance:.4f} of the best (one standard error); the first {n} of the search "
        f"reached {result.running_best[n - 1]:.4f}"
    )
    assert result.metrics()["expected_best/trials_enough"] == n


def test_one_trial_that_is_enough_is_singular(expected_best: ExpectedBest) -> None:
    one = expected_best.running_best[0]
    loose = replace(expected_best, tolerance=1.0)
    assert loose.sufficient_trials == 1
    assert loose.describe_sufficient_trials() == (
        "one trial drawn at random is expected within 1.0000 of the best (one standard error); the "
        f"first trial reached {one:.4f}"
    )


def test_the_expected_best_loss_decreases(study: StudyRun) -> None:
    definition = study.definition | {"study": study.definition["study"] | {"objective": "val/loss"}}
    by_loss = replace(study, definition=definition)
    result = compute_expected_best(by_loss)
    assert result is not None
    champion = by_loss.rank_trials()[0]
    assert result.best == champion.objective_value("val/loss")
    assert list(result.mean) == sorted(result.mean, reverse=True)
    assert all(low <= high for low, high in zip(result.low, result.high, strict=True))
    assert list(result.running_best) == sorted(result.running_best, reverse=True)
    assert result.tolerance == result.best / 100
    assert "(1 %)" in result.describe()
    diverged = replace(result, mean=(*result.mean[:9], 1.234e9, *result.mean[10:]))
    assert "expected loss 1.23e+09 of 10, " in diverged.describe()
    assert result.metric_name == "expected_best/val_loss"


def test_a_long_curve_is_thinned() -> None:
    mean = tuple(float(n) for n in range(1, 20_001))
    long = ExpectedBest("val/accuracy", mean, mean, mean, mean, 1.0)
    steps = [n for n, _ in long.curve]
    assert len(steps) <= MAX_CURVE_POINTS
    assert steps[:500] == list(range(1, 501))
    assert (steps[-1], steps) == (20_000, sorted(set(steps)))
    assert all(n == value for n, value in long.curve)
    short = replace(long, mean=mean[:1000])
    assert [n for n, _ in short.curve] == list(range(1, 1001))


def test_few_trials_and_lists_have_no_expected_best(study: StudyRun) -> None:
    assert compute_expected_best(replace(study, trials=study.trials[:4])) is None
    assert compute_expected_best(replace(study, trials=())) is None
    assert compute_expected_best(make_list_study()[0]) is None, "a list is not sampled"
