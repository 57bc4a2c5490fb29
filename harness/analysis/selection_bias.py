"""Selection bias: by how much a search's best score exceeds what the settings really reach.

The best of many scores is partly luck. The score that is corrected for selection shows how much of
it. Fresh seeds on the same validation examples, as before version 0.2, show a part of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.analysis.confirmation import rank_confirmed_settings
from harness.analysis.corrected_score import CorrectedScore
from harness.analysis.fold_score import FoldScore
from harness.analysis.formatting import format_count
from harness.analysis.seed_variance import SeedScores
from harness.metrics import ACCURACY, Score
from harness.tracking.test_reading import TestReading
from harness.tracking.types import StudyRun


@dataclass(frozen=True)
class SelectionBias:
    """The best validation score of a search, and the scores that had no part in its selection."""

    trial: int
    """The number of the trial with the best score."""
    reported_score: float
    confirmation: SeedScores | None
    """Validation scores of the same settings with fresh seeds."""
    test_score: float | None
    """The test score of the same trial's model; None if another trial's model was tested, and for
    an AUC of one class."""
    score: Score = ACCURACY
    corrected: float | None = None
    """The score of the champion's settings, corrected for selection."""
    interval: tuple[float, float] | None = None
    """Of the corrected score, 95 %."""

    def describe(self, test_name: str = "test") -> str:
        """`the search's best was 0.8962 (trial 31): 0.34 points above the test accuracy`."""
        best = self.score.format_value(self.reported_score)
        text = f"the search's best was {best} (trial {self.trial})"
        parts = []
        if self.corrected is not None:
            excess = self._format_excess(self.reported_score - self.corrected)
            interval = f" (95 %: {self._format_bias_range()})" if self.interval else ""
            parts.append(f"{excess} the corrected {self.score.name}{interval}")
        elif self.confirmation is not None:
            reference = f"its mean over {format_count(len(self.confirmation.values), 'fresh seed')}"
            excess = self._format_excess(self.reported_score - self.confirmation.mean)
            parts.append(f"{excess} {reference}")
        if self.test_score is not None:
            excess = self._format_excess(self.reported_score - self.test_score)
            parts.append(f"{excess} the {test_name} {self.score.name}")
        return f"{text}: {', '.join(parts)}" if parts else text

    def describe_briefly(self) -> str:
        """Return one short sentence for the terminal; empty if there is nothing to compare with."""
        best = self.score.format_value(self.reported_score)
        if self.corrected is not None:
            excess = self.score.sign * (self.corrected - self.reported_score)
            bias = self.score.format_difference(excess)
            if excess <= 0 or not _is_visible(bias):
                return f"none is visible: the search's best was {best}"
            interval = f" (95 %: {self._format_bias_range()})" if self.interval else ""
            return f"the search's best, {best}, was too good by {bias}{interval}"
        references = []
        if self.confirmation is not None:
            references.append((self.confirmation.mean, "its mean over fresh seeds"))
        if self.test_score is not None:
            references.append((self.test_score, f"the test {self.score.name}"))
        parts = [f"{self._compare_with(reference)} {name}" for reference, name in references]
        return f"the search's best, {best}, is {' and '.join(parts)}" if parts else ""

    def metrics(self) -> dict[str, float]:
        """Return MLflow metrics: accuracies as shares, RMSE in the target's units."""
        metrics = {"optimism/reported": self.reported_score}
        if self.corrected is not None:
            metrics["optimism/over_corrected"] = self.reported_score - self.corrected
        elif self.confirmation is not None:
            metrics["optimism/over_fresh_seeds"] = self.reported_score - self.confirmation.mean
        if self.test_score is not None:
            metrics["optimism/over_test"] = self.reported_score - self.test_score
        return metrics

    def to_dict(self) -> dict[str, float | None]:
        metrics = self.metrics()
        return {
            "trial": self.trial,
            "reported": self.reported_score,
            "over_corrected": metrics.get("optimism/over_corrected"),
            "over_fresh_seeds": metrics.get("optimism/over_fresh_seeds"),
            "over_test": metrics.get("optimism/over_test"),
        }

    def _format_bias_range(self) -> str:
        """`0.32 to 2.01`, or `-0.16 to 1.20` where the search's best may have been right.

        The search's best is a known number, so the bias is as uncertain as the corrected score.
        """
        sign = self.score.sign
        ends = sorted(sign * (end - self.reported_score) for end in self.interval or ())
        texts = [self.score.format_difference(end).removesuffix(" points") for end in ends]
        signs = [
            "-" if end < 0 and _is_visible(text) else ""
            for end, text in zip(ends, texts, strict=True)
        ]
        return " to ".join(map("".join, zip(signs, texts, strict=True)))

    def _compare_with(self, reference: float) -> str:
        """`0.34 points better than`, in the direction of the score."""
        difference = self.reported_score - reference
        text = self.score.format_difference(difference)
        if not _is_visible(text):
            return "as good as"
        return f"{text} {'better' if self.score.sign * difference < 0 else 'worse'} than"

    def _format_excess(self, difference: float) -> str:
        """`0.34 points above`."""
        text = self.score.format_difference(difference)
        return f"{text} {'below' if difference < 0 and _is_visible(text) else 'above'}"


def _is_visible(text: str) -> bool:
    """Return whether a formatted difference has a digit other than 0."""
    return bool(float(text.split()[0].replace(",", "")))


def compute_selection_bias(
    study: StudyRun,
    reading: TestReading | None,
    corrected: CorrectedScore | FoldScore | None = None,
) -> SelectionBias | None:
    """Return a search's selection bias; None for a grid or list, and if no trial is complete."""
    ranked = [run for run in study.rank_trials() if run.best is not None]
    if study.is_grid_or_list or not ranked:
        return None
    confirmed = {
        setting.trial.uid: setting.validation for setting in rank_confirmed_settings(study)
    }
    best = ranked[0]
    is_tested = reading is not None and study.find_reading(best) is reading
    test_score = reading.score if reading and is_tested else math.nan
    return SelectionBias(
        best.number,
        best.score,
        confirmed.get(best.uid),
        None if math.isnan(test_score) else test_score,
        study.score,
        corrected.value if corrected else None,
        corrected.interval if corrected else None,
    )
