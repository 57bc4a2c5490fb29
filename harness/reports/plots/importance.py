"""Hyperparameter importance, computed with PED-ANOVA.

Source: S. Watanabe, A. Bansal, F. Hutter, PED-ANOVA, IJCAI 2023, as in Optuna (the tests compare).
PED-ANOVA compares the values of the best tenth of the trials with the values of all trials. It only
sees what was sampled: a setting on which the sampler settled early looks less important than it is.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.config.schema import TRIAL_TABLE
from harness.metrics import get_sort_sign
from harness.reports.parameter_axes import ParameterAxis, build_parameter_axes, list_ended_trials
from harness.reports.plots.base import Plot
from harness.reports.plots.scatter import get_objective_value
from harness.reports.plots.style import ACCENT, apply_layout, escape_label
from harness.tracking.types import StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

MIN_COMPLETE = 10
"""With fewer complete trials, the best tenth is empty."""
BEST_SHARE = 0.1
BINS = 4
"""Of a range: about as many as a choice has; finer bins differ more by chance."""
RELIABLE = 5
"""With fewer trials in the best tenth, the shares are only a rough guess."""


@dataclass(frozen=True)
class Importance:
    """Empty if there are too few trials, if all are equally good or if nothing was varied."""

    shares: tuple[tuple[str, float], ...] = ()
    """(setting, share of the total in [0, 1]), largest first."""
    best: int = 0
    """Trials in the best tenth."""
    trials: int = 0
    """All trials that ended."""


def build_plots(summary: Summary) -> list[Plot]:
    """Return the plot of a study with enough trials."""
    importance = compute_importance(summary.study)
    if not importance.shares:
        return []
    note = (
        f"Importance is computed with PED-ANOVA: it measures how the best {importance.best} of "
        f"{importance.trials} trials differ from all trials"
        f"{'; so few trials only allow a rough guess' if importance.best < RELIABLE else ''}."
    )
    figure = draw_importance(importance)
    return [Plot("importance", "Importance of the settings", figure, note=note)]


def compute_importance(study: StudyRun) -> Importance:
    """Compute the importance of each setting from all trials that ended.

    Empty for a list: its settings change together, so their effects cannot be separated.
    """
    if TRIAL_TABLE in study.definition:
        return Importance()
    ranks = rank_trials(study)
    varied = [axis for axis in build_parameter_axes(study) if axis.varies]
    varied = [axis for axis in varied if ranks.keys() <= axis.positions.keys()]
    complete = sum(run.state == "COMPLETE" for run in list_ended_trials(study))
    if complete < MIN_COMPLETE or not varied:
        return Importance()
    cutoff = sorted(ranks.values())[math.ceil(BEST_SHARE * len(ranks)) - 1]
    top = {number for number, rank in ranks.items() if rank <= cutoff}
    if len(top) == len(ranks):
        return Importance()  # all are equally good
    shares = _compute_shares(varied, top)
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return Importance(tuple(ranked), len(top), len(ranks))


def draw_importance(importance: Importance) -> go.Figure:
    rising = importance.shares[::-1]  # Plotly puts the first category at the bottom
    figure = go.Figure(
        go.Bar(
            x=[share for _, share in rising],
            y=[escape_label(name) for name, _ in rising],
            orientation="h",
            marker={"color": ACCENT},
            text=[f"{100 * share:.0f} %" for _, share in rising],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )
    apply_layout(figure, 60 + 30 * max(1, len(rising)), margin={"l": 8, "r": 40, "t": 8, "b": 8})
    figure.update_xaxes(visible=False, rangemode="tozero")
    figure.update_yaxes(showgrid=False, ticksuffix=" ")
    return figure


def rank_trials(study: StudyRun) -> dict[int, int]:
    """Return the rank of each ended trial by its number; 0 is the best, equal trials share a rank.

    Complete trials rank by the objective. Pruned trials rank behind all complete ones, by their own
    best epoch, because they were stopped early for being worse. Failed trials are last.
    """
    sign = get_sort_sign(study.objective)
    scores: dict[int, tuple[int, float]] = {}
    for run in list_ended_trials(study):
        value = get_objective_value(run, study.objective)
        if value is None:
            scores[run.number] = (2, 0.0)
        else:
            scores[run.number] = (0 if run.state == "COMPLETE" else 1, sign * value)
    order = {score: rank for rank, score in enumerate(sorted(set(scores.values())))}
    return {number: order[score] for number, score in scores.items()}


def _compute_shares(varied: list[ParameterAxis], top: Set[int]) -> dict[str, float]:
    """Return each setting's share of the summed Pearson divergences between all and best trials."""
    divergences = {}
    for axis in varied:
        bins = bin_values(axis)
        overall = _compute_density(bins, bins.keys())
        best = _compute_density(bins, top)
        divergences[axis.name] = sum(
            p * (q / p - 1) ** 2 for p, q in zip(overall, best, strict=True)
        )
    total = sum(divergences.values()) or 1.0
    return {name: divergence / total for name, divergence in divergences.items()}


def _compute_density(bins: Mapping[int, int], numbers: Set[int]) -> list[float]:
    """Return the density of these trials over all bins, with a uniform prior of one trial's weight.

    This is Optuna's Parzen estimate of a categorical setting, in closed form. Optuna's own function
    is not used because it imports scikit-learn, which takes 2 s at the end of every study.
    """
    filled = Counter(bins[number] for number in numbers)
    counts = [filled[bin] for bin in sorted(set(bins.values()))]
    size, kernels = len(counts), len(filled) + 1
    densities = [(len(numbers) / kernels + count) / (1 + size / kernels) for count in counts]
    return [(each + 1 / size) / (len(numbers) + 1) for each in densities]


def bin_values(axis: ParameterAxis) -> dict[int, int]:
    """Return each trial's choice, or its bin among BINS bins with equally many trials.

    Optuna's density estimate of a range derives its bandwidth from the spread of the values. If
    most values are exactly 0 or very close together, the bandwidth is nearly 0 and this setting
    gets all the importance.
    """
    positions = axis.positions
    if axis.spacing:
        return {number: round(position) for number, position in positions.items()}
    ordered = sorted(positions.values())
    edges = sorted({ordered[len(ordered) * index // BINS] for index in range(1, BINS)})
    return {number: bisect.bisect_right(edges, each) for number, each in positions.items()}
