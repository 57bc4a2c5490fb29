"""The score of a search's confirmed settings, corrected for selection, with one interval.

The confirmation runs have new splits. Their validation examples were training examples in the
search, so no trial was scored on them, and they did not choose these settings. What is left to
correct is the choice of the best epoch of each run, and of the best of these settings:
`harness.stats.selection` repeats both on resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.analysis.common_splits import (
    SplitGroup,
    compare_groups,
    estimate_group_variance,
    group_by_splits,
    join_chosen,
)
from harness.analysis.confirmation import rank_confirmed_settings
from harness.analysis.contenders import Contender, Contenders
from harness.analysis.formatting import format_count
from harness.metrics import Score
from harness.stats.regression import compute_root_mean_interval
from harness.stats.selection import (
    compute_plain_interval,
    compute_score_interval,
    count_scores,
    flatten_scores,
)
from harness.tracking.epoch_predictions import EPOCH_PREDICTIONS_FILE
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


@dataclass(frozen=True)
class CorrectedScore:
    """What the champion's settings reach on new examples, estimated without selection bias."""

    champion: RunRecord
    value: float
    interval: tuple[float, float] | None
    """95 %, for the chance in examples, splits and seeds; None for a single split."""
    splits: int
    examples: int
    """Validation examples over all splits."""
    contenders: Contenders | None
    """The other confirmed settings; None without any."""
    margin: float
    """See `[confirm] margin`."""
    score: Score
    left_out: int = 0
    """Confirmed settings that are not compared, because they lack a complete run on a split."""

    @property
    def smaller(self) -> Contender | None:
        """The smallest network that is shown to be within the margin; None if none is.

        A single split shows nothing: the seed variance is unknown.
        """
        if self.interval is None:
            return None
        proven = [each for each in self._list_smaller() if each.is_within(self.margin)]
        return min(proven, key=lambda each: each.trial.parameters, default=None)

    @property
    def unproven(self) -> Contender | None:
        """The smallest network, if none is shown to be within the margin."""
        smaller = [] if self.smaller else self._list_smaller()
        return min(smaller, key=lambda each: each.trial.parameters, default=None)

    def describe(self) -> str:
        """`0.9310 (95 %: 0.9021 to 0.9552), corrected for selection, over 3 new splits`."""
        splits = format_count(self.splits, "new split")
        return f"{self.format_value()}, corrected for selection, over {splits}"

    def format_value(self) -> str:
        """`0.9310 (95 %: 0.9021 to 0.9552)`."""
        bounds = f" (95 %: {self.score.format_range(self.interval)})" if self.interval else ""
        return f"{self.score.format_value(self.value)}{bounds}"

    def format_margin(self) -> str:
        """`0.5 points` of accuracy, `0.005` of another share such as AUC, or `0.5 %`."""
        if self.score.is_accuracy:
            return f"{self.margin:g} points"
        return f"{self.margin / 100:g}" if self.score.is_higher_better else f"{self.margin:g} %"

    def describe_left_out(self) -> str:
        """`1 other setting is not compared: no complete run on one of its splits`, or empty."""
        if not self.left_out:
            return ""
        are = "is" if self.left_out == 1 else "are"
        of = "one of its splits" if self.left_out == 1 else "some of their splits"
        count = format_count(self.left_out, "other setting")
        return f"{count} {are} not compared: no complete run on {of}"

    def metrics(self) -> dict[str, float]:
        """Return MLflow metrics of the study's run."""
        name = self.score.field_name
        metrics = {f"confirm/{name}_corrected": self.value, "confirm/splits": self.splits}
        if self.interval is not None:
            low, high = self.interval
            metrics |= {f"confirm/{name}_low": low, f"confirm/{name}_high": high}
        return metrics

    def to_dict(self) -> dict[str, Any]:
        smaller = self.smaller
        return {
            "value": self.value,
            "interval": self.interval,
            "splits": self.splits,
            "examples": self.examples,
            "left_out": self.left_out,
            "margin": self.margin,
            "smaller": smaller.trial.number if smaller else None,
        }

    def _list_smaller(self) -> list[Contender]:
        others, size = self.contenders.others if self.contenders else (), self.champion.parameters
        return [each for each in others if 0 < each.trial.parameters < size]


def compute_corrected_score(
    tracker: Tracker, study: StudyRun, champion: RunRecord
) -> CorrectedScore | None:
    """Correct the champion's score for selection; None if it was not confirmed on new splits."""
    settings = rank_confirmed_settings(study)
    winner = next((each for each in settings if each.trial.uid == champion.uid), None)
    if winner is None or not study.is_resampled:
        return None
    others = [each for each in settings if each is not winner]
    files = tracker.read_files(
        [run.run_id for each in settings for run in each.runs], EPOCH_PREDICTIONS_FILE
    )
    groups = group_by_splits(study, winner, others, files)
    if not groups:
        return None
    compared = {trial.uid for group in groups for trial in group.trials}
    return _build_score(study, groups, left_out=len(settings) - len(compared))


def _build_score(study: StudyRun, groups: Sequence[SplitGroup], left_out: int) -> CorrectedScore:
    chosen, variance = join_chosen(groups), estimate_group_variance(groups)
    splits, mean, size = len(chosen), float(chosen.mean()), count_scores(chosen)
    interval = None
    if study.score.objective is not None:
        value = mean
        if splits > 1:
            interval = study.score.clip_range(compute_plain_interval(chosen, variance))
    elif study.score.task == "classes":
        value = mean
        if splits > 1:
            interval = compute_score_interval(chosen, variance)
    else:
        value = math.sqrt(mean)
        if splits > 1:
            spread = variance / splits / (2 * mean) ** 2 if mean else 0.0
            interval = compute_root_mean_interval(flatten_scores(chosen), spread)
    contenders = compare_groups(study, groups, variance)
    return CorrectedScore(
        groups[0].trials[0],
        value,
        interval,
        splits,
        size,
        contenders,
        study.margin,
        study.score,
        left_out,
    )
