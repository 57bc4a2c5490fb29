"""The expected best of n: against every choice, against what is known, and in words."""

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
    MOST_POINTS,
    ExpectedBest,
    expected,
    expected_best,
    quantiles_of_best,
)
from harness.stats.proportions import wilson
from harness.tracking.types import StudyRun, count_correct
from tests.reports.list_study import listed
from tests.support import synthetic_study


@pytest.fixture(scope="module")
def study() -> StudyRun:
    return synthetic_study.study(60, epochs=5)


@pytest.fixture(scope="module")
def found(study: StudyRun) -> ExpectedBest:
    made = expected(study)
    assert made is not None
    return made


VALUES = [0.91, 0.3, 0.88, 0.88, 0.9, 0.1, 0.905]


def test_it_is_the_mean_over_every_choice() -> None:
    for better, higher in ((max, True), (min, False)):
        choices = [list(itertools.combinations(VALUES, n)) for n in range(1, len(VALUES) + 1)]
        means = [np.mean([better(chosen) for chosen in each]) for each in choices]
        assert expected_best(VALUES, higher) == pytest.approx(means, abs=1e-12)
        low, high = quantiles_of_best(VALUES, higher)
        for n, each in enumerate(choices):
            best = np.array([better(chosen) for chosen in each])
            # Of the least values that hold so large a share, the first; of a loss, from above.
            if higher:
                ends = [np.quantile(best, q, method="inverted_cdf") for q in (0.05, 0.95)]
            else:
                ends = [-np.quantile(-best, q, method="inverted_cdf") for q in (0.95, 0.05)]
            assert [low[n], high[n]] == pytest.approx(ends)


def test_it_is_the_formula_of_the_paper() -> None:
    """Tang and others' weights, in whole numbers; and in their own code's floats."""
    rising = sorted(np.random.default_rng(0).random(40).tolist())
    made = expected_best(rising, True)
    for n in (1, 2, 7, 39, 40):
        chances = [Fraction(math.comb(i - 1, n - 1), math.comb(40, n)) for i in range(1, 41)]
        exact = sum(chance * Fraction(value) for chance, value in zip(chances, rising, strict=True))
        assert made[n - 1] == pytest.approx(float(exact), rel=1e-14)
        floats = comb(np.arange(40), n - 1) / comb(40, n)
        assert made[n - 1] == pytest.approx(float(floats @ rising), rel=1e-12)


@pytest.mark.parametrize("count", [2, 50, 2000])
def test_of_whole_numbers_the_answer_is_known(count: int) -> None:
    """The mean of the greatest of n of the numbers 1 to N is n (N + 1) / (n + 1)."""
    numbers = np.random.default_rng(0).permutation(count) + 1
    known = [n * (count + 1) / (n + 1) for n in range(1, count + 1)]
    assert expected_best(numbers.tolist(), True) == pytest.approx(known, rel=1e-12)
    least = [(count + 1) / (n + 1) for n in range(1, count + 1)]
    assert expected_best(numbers.tolist(), False) == pytest.approx(least, rel=1e-9)


def test_it_is_unbiased_where_drawing_with_replacement_is_not() -> None:
    """Of 5 normal values the greatest is expected at 1.16296 (Tippett, 1925): from 10 of them."""
    drawn = np.random.default_rng(0).standard_normal((20_000, 10))
    ours = np.array([expected_best(row.tolist(), True)[4] for row in drawn[:8000]])
    assert ours.mean() == pytest.approx(1.16296, abs=4 * ours.std() / math.sqrt(len(ours)))
    share = (np.arange(11) / 10) ** 5
    dodge = np.sort(drawn) @ np.diff(share)
    assert dodge.mean() < 1.16296 - 10 * dodge.std() / math.sqrt(len(dodge))
    density = norm.expect(lambda x: 5 * x * norm.cdf(x) ** 4)
    assert density == pytest.approx(1.16296, abs=1e-5)


def test_who_counts(study: StudyRun, found: ExpectedBest) -> None:
    states = [run.state for run in study.trials]
    assert found.trials == states.count("COMPLETE") + states.count("PRUNED") < len(states)
    champion = study.rank_trials()[0]
    assert champion.best is not None
    best = champion.best.val_accuracy
    assert found.best == best
    ended = [run for run in study.trials if run.state in ("COMPLETE", "PRUNED")]
    first = [run.best.val_accuracy for run in ended if run.best]
    assert found.course == tuple(np.maximum.accumulate(first))
    assert found.mean[0] == pytest.approx(np.mean(first))
    # A pruned trial that was better when it was stopped than all that went on is not eligible.
    lucky = replace(
        next(run for run in ended if run.state == "PRUNED"), metrics={"best/val_accuracy": 1.0}
    )
    trials = [lucky if run.number == lucky.number else run for run in study.trials]
    made = expected(replace(study, trials=tuple(trials)))
    assert made is not None
    assert made.best == best
    assert made.mean[0] > found.mean[0]


def test_how_many_are_enough(study: StudyRun, found: ExpectedBest) -> None:
    low, high = wilson(*count_correct(study.rank_trials()[0].confusion), confidence=0.6827)
    assert found.tolerance == (high - low) / 2
    n = found.enough
    assert found.best - found.mean[n - 1] <= found.tolerance < found.best - found.mean[n - 2]
    wide = replace(found, tolerance=1.0)
    assert wide.enough == 1
    none = replace(found, tolerance=0.0)
    assert none.enough == found.trials
    assert none.judged == "no fewer are expected within 0.0000 of the best (one standard error)"


def test_the_verdict_tells_both_the_mean_and_the_course(found: ExpectedBest) -> None:
    n = found.enough
    assert found.text == (
        f"expected {found.mean[9]:.4f} of 10, {found.mean[19]:.4f} of 20, {found.mean[49]:.4f} of "
        f"50, {found.best:.4f} of all {found.trials}; {n} drawn at random are expected within "
        f"{found.tolerance:.4f} of the best (one standard error), the first {n} that ran came to "
        f"{found.course[n - 1]:.4f}"
    )
    assert found.metrics()["expected_best/trials_enough"] == n


def test_a_loss_falls(study: StudyRun) -> None:
    definition = study.definition | {"study": study.definition["study"] | {"objective": "val/loss"}}
    by_loss = replace(study, definition=definition)
    made = expected(by_loss)
    assert made is not None
    champion = by_loss.rank_trials()[0]
    assert made.best == champion.objective_value("val/loss")
    assert list(made.mean) == sorted(made.mean, reverse=True)
    assert all(low <= high for low, high in zip(made.low, made.high, strict=True))
    assert list(made.course) == sorted(made.course, reverse=True)
    assert made.tolerance == made.best / 100
    assert "(1 %)" in made.text
    diverged = replace(made, mean=(*made.mean[:9], 1.234e9, *made.mean[10:]))
    assert "expected 1.23e+09 of 10, " in diverged.text
    assert made.metric == "expected_best/val_loss"


def test_a_long_curve_is_thinned() -> None:
    mean = tuple(float(n) for n in range(1, 20_001))
    long = ExpectedBest("val/accuracy", mean, mean, mean, mean, 1.0)
    steps = [n for n, _ in long.curve]
    assert len(steps) <= MOST_POINTS
    assert steps[:500] == list(range(1, 501))
    assert (steps[-1], steps) == (20_000, sorted(set(steps)))
    assert all(n == value for n, value in long.curve)
    short = replace(long, mean=mean[:1000])
    assert [n for n, _ in short.curve] == list(range(1, 1001))


def test_of_few_trials_and_of_lists_nothing_is_said(study: StudyRun) -> None:
    assert expected(replace(study, trials=study.trials[:4])) is None
    assert expected(replace(study, trials=())) is None
    assert expected(listed()[0]) is None, "a list was decided on as a whole"
