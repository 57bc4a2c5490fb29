"""How much each sampled setting decides over who is among the best tenth: PED-ANOVA.

Source: S. Watanabe, A. Bansal, F. Hutter, PED-ANOVA, IJCAI 2023, as Optuna computes it (the
tests compare). It sets how the best tenth spread over a setting against how all trials do, so it
says what mattered where the sampler went; a setting that the sampler had settled early looks less
important than it is.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass

import plotly.graph_objects as go

from harness.config.schema import TRIAL_TABLE
from harness.metrics import get_sort_sign
from harness.reports.parameter_axes import Factor, ended, factors
from harness.reports.plots.scatter import measured
from harness.reports.plots.style import ACCENT, label, layout
from harness.tracking.types import StudyRun

LEAST_COMPLETE = 10
"""A tenth of fewer is nobody."""
BEST_SHARE = 0.1
BINS = 4
"""Of a range: about as many as a choice has, for finer ones differ more by chance."""


@dataclass(frozen=True)
class Importance:
    """Empty where there are too few trials, where all are alike or where nothing was varied."""

    shares: tuple[tuple[str, float], ...] = ()
    """(setting, share of the total in [0, 1]), greatest first."""
    best: int = 0
    """Trials in the best tenth: with fewer than 5 the shares are little more than a guess."""
    trials: int = 0
    """Trials in all."""


def data(study: StudyRun) -> Importance:
    """All ended trials take part: PED-ANOVA asks only what tells the best tenth from all.

    Empty for a list, whose settings change together: a share of each cannot be told.
    """
    if TRIAL_TABLE in study.definition:
        return Importance()
    ranks = _ranks(study)
    varying = [factor for factor in factors(study) if factor.varies]
    varying = [factor for factor in varying if ranks.keys() <= factor.positions.keys()]
    complete = sum(run.state == "COMPLETE" for run in ended(study))
    if complete < LEAST_COMPLETE or not varying:
        return Importance()
    cutoff = sorted(ranks.values())[math.ceil(BEST_SHARE * len(ranks)) - 1]
    top = {number for number, rank in ranks.items() if rank <= cutoff}
    if len(top) == len(ranks):
        return Importance()  # all tie: nothing tells them apart
    shares = _shares(varying, top)
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return Importance(tuple(ranked), len(top), len(ranks))


def figure(importance: Importance) -> go.Figure:
    rising = importance.shares[::-1]  # Plotly puts the first category at the bottom
    made = go.Figure(
        go.Bar(
            x=[share for _, share in rising],
            y=[label(name) for name, _ in rising],
            orientation="h",
            marker={"color": ACCENT},
            text=[f"{100 * share:.0f} %" for _, share in rising],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )
    layout(made, 60 + 30 * max(1, len(rising)), margin={"l": 8, "r": 40, "t": 8, "b": 8})
    made.update_xaxes(visible=False, rangemode="tozero")
    made.update_yaxes(showgrid=False, ticksuffix=" ")
    return made


def _ranks(study: StudyRun) -> dict[int, int]:
    """Each ended trial's rank by its number, 0 the best, equals sharing one.

    Complete trials rank by the objective. A pruned one ranks behind all of them, by its own best
    epoch: it was stopped because it lagged, and was measured after less training. A failed one is
    last.
    """
    sign = get_sort_sign(study.objective)
    scores: dict[int, tuple[int, float]] = {}
    for run in ended(study):
        value = measured(run, study.objective)
        if value is None:
            scores[run.number] = (2, 0.0)
        else:
            scores[run.number] = (0 if run.state == "COMPLETE" else 1, sign * value)
    order = {score: rank for rank, score in enumerate(sorted(set(scores.values())))}
    return {number: order[score] for number, score in scores.items()}


def _shares(varying: list[Factor], top: Set[int]) -> dict[str, float]:
    """Each setting's part of the sum of Pearson divergences, from all trials to the best ones."""
    divergences = {}
    for factor in varying:
        bins = _binned(factor)
        everyone = _density(bins, bins.keys())
        best = _density(bins, top)
        divergences[factor.name] = sum(
            p * (q / p - 1) ** 2 for p, q in zip(everyone, best, strict=True)
        )
    total = sum(divergences.values()) or 1.0
    return {name: divergence / total for name, divergence in divergences.items()}


def _density(bins: Mapping[int, int], numbers: Set[int]) -> list[float]:
    """How these trials spread over all bins, smoothed by one trial's worth of a uniform prior.

    It is Optuna's Parzen estimate of a categorical setting, in closed form. Optuna's own importance
    would do, but importing it brings all of scikit-learn: 2 s at the end of every study.
    """
    found = Counter(bins[number] for number in numbers)
    counts = [found[bin] for bin in sorted(set(bins.values()))]
    size, kernels = len(counts), len(found) + 1
    spread = [(len(numbers) / kernels + count) / (1 + size / kernels) for count in counts]
    return [(each + 1 / size) / (len(numbers) + 1) for each in spread]


def _binned(factor: Factor) -> dict[int, int]:
    """Each trial's choice, or the bin of its value among BINS that hold equally many trials.

    Optuna's own density estimate of a range takes its bandwidth from the spread of the values.
    Where most are exactly 0, or where the sampler stayed at one place, that is nearly nothing, and
    one setting gets all the importance.
    """
    positions = factor.positions
    if factor.apart:
        return {number: round(position) for number, position in positions.items()}
    ordered = sorted(positions.values())
    edges = sorted({ordered[len(ordered) * index // BINS] for index in range(1, BINS)})
    return {number: bisect.bisect_right(edges, each) for number, each in positions.items()}
