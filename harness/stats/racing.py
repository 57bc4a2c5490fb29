"""Racing: measure settings on split after split, and drop those that need no more runs.

All settings are measured on the first splits. Then, after each split, those that are clearly worse
than the leader are dropped, and the better half of the others is measured on the next split, until
one is left or the budget is spent. The half that is left behind is not shown to be worse.

Every look at the results is a chance to drop the best setting by mistake. So the looks share one
error rate: the first has half of it, each next one half of what is left, and the comparisons of a
look share its part (Bonferroni). A larger budget therefore changes no earlier decision.

Sources: O. Maron and A. W. Moore, Artificial Intelligence Review 11, 1997 (racing); M. Birattari et
al., GECCO 2002 (F-race: comparisons on the same blocks); Z. Karnin, T. Koren and O. Somekh, ICML
2013 (sequential halving); F. E. Satterthwaite, Biometrics Bulletin 2, 1946 (degrees of freedom).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.stats.selection import (
    compute_difference_interval,
    estimate_seed_variance,
    stack_scores,
)

RACE_LEVEL = 0.05
"""The highest probability that a race drops its best setting as clearly worse."""
MIN_SPLITS = 2
"""Splits on which every setting is measured before the first look: one shows no seed variance."""

Values = npt.NDArray[Any]
RaceEnding = Literal["clear", "budget", "room"]


@dataclass(frozen=True)
class Look:
    """The results after a number of splits."""

    ranked: tuple[int, ...]
    """The settings that were measured, the best first."""
    worse: tuple[int, ...] = ()
    """The last of them, which are dropped as clearly worse."""
    failed: tuple[int, ...] = ()
    """The last of them, which are dropped because training failed on more splits."""

    @property
    def tied(self) -> tuple[int, ...]:
        """The settings that are not dropped, the best first."""
        return self.ranked[: len(self.ranked) - len(self.worse) - len(self.failed)]


@dataclass(frozen=True)
class Race:
    """How far a race has come."""

    looks: tuple[Look, ...]
    """The first is after MIN_SPLITS splits, each next one after one more."""
    settings: tuple[int, ...]
    """Those to be measured next; empty if the race has ended."""
    runs: int
    """The number of runs so far, or with those of the next split."""
    ending: RaceEnding | None = None

    @property
    def splits(self) -> int:
        """The number of splits that were measured, or that are measured next."""
        return MIN_SPLITS + len(self.looks) - (self.ending is not None)


def run_race(
    settings: Sequence[int],
    budget: int,
    room: int,
    look: Callable[[tuple[int, ...], int], Look | None],
) -> Race:
    """Replay a race from its start; the result depends on the looks alone.

    Args:
        settings: The numbers of two or more settings.
        budget: The most runs: at least MIN_SPLITS for each setting.
        room: The most splits, at least MIN_SPLITS.
        look: Compares settings after so many splits; None if they are not all measured.
    """
    looks: list[Look] = []
    measured, runs, splits = tuple(settings), MIN_SPLITS * len(settings), MIN_SPLITS
    while (result := look(measured, splits)) is not None:
        looks.append(result)
        tied, left = result.tied, budget - runs
        count = max(2, (len(tied) + 1) // 2)
        # The last runs of the budget are spent at once.
        count = min(len(tied), left) if left - count < 2 else count
        ending: RaceEnding | None = None
        if len(tied) == 1:
            ending = "clear"
        elif splits == room:
            ending = "room"
        elif count < 2:
            ending = "budget"
        if ending is not None:
            return Race(tuple(looks), (), runs, ending)
        measured, runs, splits = tied[:count], runs + count, splits + 1
    return Race(tuple(looks), measured, runs)


def count_most_splits(settings: int, budget: int) -> int:
    """Return the most splits that a race can measure: if two settings are left at once."""
    return MIN_SPLITS + max(0, budget - MIN_SPLITS * settings) // 2


def count_clearly_worse(
    costs: Values, look: int, is_proportion: bool, level: float = RACE_LEVEL
) -> int:
    """Return how many settings at the end are clearly worse than the first, the leader.

    Args:
        costs: [settings, splits, n], each example's cost, lower is better; by their rank. Two
            settings and splits or more.
        look: The number of the look, counted from 1.
        is_proportion: Whether each cost is 0 or 1.
        level: The error rate of all looks.

    One-sided t-tests of the paired differences, whose variance has a part of the examples and one
    of seeds and splits. The second is estimated from few values, so the test has Satterthwaite's
    degrees of freedom.
    """
    from scipy.special import stdtr

    count, splits, _ = map(int, costs.shape)
    seeds = 2 * estimate_seed_variance(costs)
    alpha = level / 2**look / (count - 1)
    worse = 0
    for cost in costs[:0:-1]:
        _, low, high = compute_difference_interval(cost - costs[0], seeds, is_proportion, z=1)
        center, error = (low + high) / 2, (high - low) / 2
        share = seeds / splits / error**2 if error else 0.0
        degrees = (count - 1) * (splits - 1) / max(share, 1e-6) ** 2
        is_worse = stdtr(degrees, -center / error) < alpha if error else center > 0
        if not is_worse:
            break
        worse += 1
    return worse


def stack_rows(rows: Sequence[Values]) -> Values:
    """Stack the scores of splits as [splits, n], masked where a split has fewer examples."""
    stacked: Values = stack_scores([[np.ma.compressed(row) for row in rows]])[0]
    return stacked
