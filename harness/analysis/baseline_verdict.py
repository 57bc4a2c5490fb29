"""Who won, the champion or the best of the simpler models, and whether that is beyond chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.analysis.fold_scores import name_validation_sets
from harness.metrics import Score
from harness.models.baselines import BOOSTED_TREES, Metrics
from harness.results import HasScore
from harness.stats.proportions import SIGNIFICANCE_LEVEL, adjust_p_values
from harness.tracking.types import RunRecord

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


@dataclass(frozen=True)
class BaselineVerdict:
    """The champion against the best baseline on the same examples: the test set if it was read."""

    split: Literal["validation", "test"]
    split_name: str
    """The split as it is shown: the test set of some datasets has another name."""
    name: str
    """The best baseline's name."""
    metrics: Metrics
    champion: HasScore
    p_value: float | None
    """The paired test's, adjusted by Holm's method for choosing the best of the baselines; None if
    the test was not recorded."""
    score: Score
    validation_sets: str = "the validation set"
    """What the examples of `validation` are called."""

    @property
    def winner(self) -> Literal["baseline", "champion", "neither"]:
        """Who has the better score, by chance or not."""
        lead = self.score.sign * (self.metrics.score - self.champion.score)
        return "baseline" if lead < 0 else "champion" if lead > 0 else "neither"

    @property
    def is_significant(self) -> bool:
        return self.p_value is not None and self.p_value < SIGNIFICANCE_LEVEL

    @property
    def test_name(self) -> str:
        return "McNemar" if self.score.is_accuracy else "bootstrap-t"

    def describe(self) -> str:
        """Return one sentence: `... reach 0.9722; the champion's 0.9611 is not significantly ...`.

        The champion was chosen on the validation set, which favours it there.
        """
        where = f"on {self.validation_sets}, " if self.split == "validation" else ""
        best = self.score.format_value(self.metrics.score)
        champion = self.score.format_value(self.champion.score)
        if not self.score.is_accuracy:
            best = f"{self.score.name_with_article} of {best}"
        verb = "reach" if self.name == BOOSTED_TREES else "reaches"
        if self.winner == "neither":
            return f"{where}{self.name} {verb} {best}, as the champion does"
        is_lower = self.champion.score < self.metrics.score
        direction = "lower" if is_lower else "higher"
        text = f"{where}{self.name} {verb} {best}; the champion's {champion} is "
        if self.p_value is None:
            return f"{text}{direction}"
        negation = "" if self.is_significant else "not "
        p_value = f"{self.test_name} p = {self.p_value:.2g}"
        return f"{text}{negation}significantly {direction} ({p_value})"

    def to_dict(self) -> dict[str, Any]:
        return {
            "split": self.split,
            "name": self.name,
            "score": self.metrics.score,
            "champion_score": self.champion.score,
            "better": self.winner,
            "p_value": self.p_value,
            "significant": self.is_significant if self.p_value is not None else None,
        }


def find_validated_run(champion: RunRecord, model_run: RunRecord) -> RunRecord:
    """Return the run that is compared with the baselines on the study's own validation set."""
    return champion if model_run.split else model_run


def judge_baselines(summary: Summary) -> BaselineVerdict | None:
    """Compare the champion with the best baseline.

    None if none was evaluated on the split, and where its examples have no AUC.
    """
    split: Literal["validation", "test"] = "validation" if summary.reading is None else "test"
    baselines = summary.baselines.of_split(split) if summary.baselines else {}
    if not baselines:
        return None
    run, score = summary.model_run, summary.study.score
    champion: HasScore | None = summary.reading
    if champion is None:
        champion = run = find_validated_run(summary.champion, run)
    if math.isnan(champion.score):
        return None
    tests = {name: each.champion_test for name, each in baselines.items()}
    p_values = {
        name: test.p_value
        for name, test in tests.items()
        if test is not None and test.run == run.uid  # else an earlier champion's
    }
    adjusted = dict(zip(p_values, adjust_p_values(list(p_values.values())), strict=True))
    name = min(baselines, key=lambda each: score.sign * baselines[each].score)
    split_name = summary.study.test_name if split == "test" else split
    return BaselineVerdict(
        split,
        split_name,
        name,
        baselines[name],
        champion,
        adjusted.get(name),
        score,
        name_validation_sets(summary.study),
    )
