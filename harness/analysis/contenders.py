"""The settings that compete with the champion's: differences on the same examples, not p-values.

A difference that is not significant is no proof of equality. So each setting has its difference to
the champion with an interval, and the probability that it is the best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy.typing as npt

from harness.analysis.formatting import format_count
from harness.metrics import Score
from harness.stats.proportions import SIGNIFICANCE_LEVEL
from harness.stats.selection import (
    CorrectedScores,
    compute_best_probabilities,
    compute_difference_interval,
    count_scores,
)
from harness.tracking.types import RunRecord

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Contender:
    """Another setting, compared with the champion's on the same examples."""

    trial: RunRecord
    difference: float
    """How much better the champion is, corrected for selection: a share of the examples, or a
    difference of RMSEs. Below 0 if this setting is the better one."""
    interval: tuple[float, float]
    """Its 95 % interval."""
    probability: float
    """That this setting is the best of those compared."""
    largest_loss: float
    """The upper end of a one-sided 95 % interval of how much worse this setting is, as a share of
    the examples, or of the champion's RMSE. It is adjusted for the number of smaller networks, and
    not corrected for selection, which favours the champion."""
    name: str = ""
    """Of a setting of a grid or list."""
    is_identical: bool = False
    """Whether it has the champion's score on every example."""
    has_seeds: bool = True
    """Whether the interval includes the chance of seeds."""
    splits: int = 0
    """The number of splits that it shares with the champion; 0 for all of them."""

    @property
    def title(self) -> str:
        return self.name or f"trial {self.trial.number}"

    @property
    def half_width(self) -> float:
        """Half of the interval: a smaller difference is not significant."""
        return (self.interval[1] - self.interval[0]) / 2

    def is_within(self, margin: float) -> bool:
        """Return whether it is not worse than the champion by more than `margin` points (or percent
        of the RMSE): a non-inferiority test at 5 %."""
        return 100 * self.largest_loss < margin

    def describe(self, score: Score) -> str:
        """`trial 7 is between 1.92 points worse and 1.10 better (95 %)`."""
        low, high = self.interval
        level = "95 %" if self.has_seeds else "95 %, without seed variance"
        level += f", on {format_count(self.splits, 'common split')}" if self.splits else ""
        if self.is_identical:
            apart = score.format_difference(self.half_width)
            same = f"{self.title} has the champion's score on every example"
            return f"{same}; the two may differ by up to {apart} on others ({level})"
        if low > 0:
            least = score.format_difference(low).removesuffix(" points")
            return f"{self.title} is {least} to {_format_end(score, high)} ({level})"
        worse, better = _format_end(score, high), _format_end(score, low, unit=False)
        return f"{self.title} is between {worse} and {better} ({level})"

    def to_dict(self) -> dict[str, Any]:
        return {
            "trial": self.trial.number,
            "difference": self.difference,
            "interval": self.interval,
            "probability": self.probability,
            "largest_loss": self.largest_loss,
            "splits": self.splits or None,
            "includes_seeds": self.has_seeds,
        }


@dataclass(frozen=True)
class Contenders:
    """The champion's setting and all others that it was compared with."""

    probability: float
    """That the champion's setting is the best of them."""
    others: tuple[Contender, ...]
    """By their mean, the best first."""
    examples: int
    """Validation examples, over all splits."""
    score: Score
    has_seeds: bool = True
    """Whether the intervals include the chance of seeds."""
    compared_by: str = ""
    """` by accuracy`, where that is not what the study chooses by."""

    @property
    def visible_difference(self) -> float:
        """Observed differences to the champion below this are not significant."""
        # A setting on fewer splits has a wider interval; the examples are those of all splits.
        whole = [each for each in self.others if not each.splits] or self.others
        return max(each.half_width for each in whole)

    def describe(self) -> str:
        """Return one line for each of the others, and what could have been seen at all."""
        compared = f"the {len(self.others) + 1} compared{self.compared_by}"
        best = f"the champion's setting is the best of {compared} with a probability of"
        lines = [f"{best} {_format_probability(self.probability)}"]
        lines += [
            f"{each.describe(self.score)}; the best with {_format_probability(each.probability)}"
            for each in self.others
        ]
        seeds = "" if self.has_seeds else "; each setting has one seed, whose chance is not in this"
        lines.append(f"{self._describe_visible()}{seeds}")
        return "\n".join(lines)

    def describe_briefly(self) -> str:
        """Return one or two short sentences for the terminal."""
        near = [each for each in self.others if each.interval[0] <= 0]
        count = len(self.others)
        closest = max(near or self.others, key=lambda each: each.probability)
        if not near:
            who = f"none of {count} other settings" if count > 1 else "not the other setting"
            return f"{who}{self.compared_by}: {closest.describe(self.score)}"
        who = f"{len(near)} of {count} other settings" if count > 1 else "the other setting"
        return f"{who} may be as good{self.compared_by}: {closest.describe(self.score)}"

    def metrics(self) -> dict[str, float]:
        """Return MLflow metrics of the study's run."""
        return {
            "contenders/settings": len(self.others),
            "contenders/best_probability": self.probability,
            "contenders/visible_difference": self.visible_difference,
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            "probability": self.probability,
            "visible_difference": self.visible_difference,
            "others": [each.to_dict() for each in self.others],
        }

    def _describe_visible(self) -> str:
        smallest = self.score.format_difference(self.visible_difference)
        return (
            f"differences between settings under {smallest} are within chance on "
            f"{self.examples:,} examples"
        )


def compare_settings(
    score: Score,
    trials: Sequence[RunRecord],
    scores: CorrectedScores,
    seed_variance: float,
    names: Sequence[str] = (),
    has_seeds: bool = True,
    tests: int = 0,
) -> Contenders | None:
    """Compare the first of several settings, the champion's, with the others; None without others.

    Args:
        trials: One of each setting.
        scores: Their scores on the same examples.
        seed_variance: Of the difference of two settings on one split.
        names: Of the settings of a grid or list.
        tests: The number of smaller networks; by default counted among these trials.
    """
    if len(trials) < 2:
        return None
    is_proportion = score.is_accuracy
    sign = -score.sign
    settings = sign * scores.settings
    probabilities = compute_best_probabilities(settings, seed_variance / 2)
    size = trials[0].parameters
    smaller = tests or sum(0 < trial.parameters < size for trial in trials[1:])
    # One-sided 5 %, adjusted (Bonferroni) for the number of smaller networks that are tested.
    z_one_sided = NormalDist().inv_cdf(1 - SIGNIFICANCE_LEVEL / max(1, smaller))
    ranked = sign * scores.ranked
    others = []
    for index in range(1, len(trials)):
        lead = settings[0] - settings[index]
        mean, *bounds = compute_difference_interval(lead, seed_variance, is_proportion)
        # The champion was chosen among them, so its lead is too large by this.
        excess = mean - float((ranked[0] - ranked[index]).mean())
        largest = compute_difference_interval(lead, seed_variance, is_proportion, z_one_sided)[2]
        scale, root = 1.0, 1.0
        if score.objective is not None:
            root = 1.0 if score.is_higher_better else float(scores.settings[0].mean()) or 1.0
        elif not is_proportion:
            scale, root = _compute_root_scale(scores.settings[0], scores.settings[index])
        others.append(
            Contender(
                trials[index],
                (mean - excess) * scale,
                ((bounds[0] - excess) * scale, (bounds[1] - excess) * scale),
                probabilities[index],
                largest * scale / root,
                names[index] if names else "",
                is_identical=not lead.any(),
                has_seeds=has_seeds,
            )
        )
    return Contenders(
        probabilities[0], tuple(others), count_scores(scores.chosen), score, has_seeds
    )


def _compute_root_scale(first: Values, second: Values) -> tuple[float, float]:
    """Return what turns a difference of squared errors into one of RMSEs, and the first RMSE."""
    roots = math.sqrt(first.mean()), math.sqrt(second.mean())
    return (1 / sum(roots) if sum(roots) else 1.0), roots[0] or 1.0


def _format_probability(value: float) -> str:
    if value < 0.01:
        return "less than 1 %"
    return f"{round(100 * value)} %" if value < 0.995 else "more than 99 %"


def _format_end(score: Score, lead: float, unit: bool = True) -> str:
    """`1.92 points worse`, for a setting that the champion exceeds by `lead`."""
    amount = score.format_difference(lead)
    amount = amount if unit else amount.removesuffix(" points")
    return f"{amount} {'worse' if lead > 0 else 'better'}"
